// WCAG 2.1 A and AA, by axe-core.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const SOURCE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"];

// One line for every violation on the page as it stands now.
export async function violations(page) {
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(SOURCE);
  const found = await page.evaluate(
    (levels) => window.axe.run(document, {
      runOnly: levels,
      resultTypes: ["violations", "incomplete"],
    }),
    LEVELS,
  );
  return [
    ...found.violations.flatMap((rule) => rule.nodes.map((node) => describe(rule, node))),
    ...found.incomplete.flatMap((rule) =>
      rule.nodes.filter(isInvisible).map((node) => describe(rule, node))),
  ];
}

// Text in the very colour of its background: axe-core leaves it to people, who could not see it.
function isInvisible(node) {
  return node.any.some((check) => check.data?.messageKey === "equalRatio");
}

function describe(rule, node) {
  const reason = [...node.any, ...node.all, ...node.none][0]?.message ?? rule.help;
  return `${rule.id} at ${node.target.join(" ")}: ${reason}`;
}
