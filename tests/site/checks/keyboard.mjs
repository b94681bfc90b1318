// A walk through the page with the Tab key alone.

const LONGEST_WALK = 1500;

// Every stop can be seen, shows that it has the focus, and lets go of it again (WCAG 2.1.2, 2.4.7).
export async function tabWalk(page) {
  const found = new Set();
  await page.evaluate(installWatcher);
  for (let stops = 0; stops < LONGEST_WALK; stops += 1) {
    await page.keyboard.press("Tab");
    const { problems, ended } = await page.evaluate(() => window.siteCheckStop());
    problems.forEach((problem) => found.add(problem));
    if (ended) return [...found];
  }
  return [...found, `the Tab key is still on the page after ${LONGEST_WALK} stops`];
}

// Runs in the page. What marks the focus is the difference between an element's looks now and its
// looks when the next Tab has taken the focus away.
function installWatcher() {
  const LOOKS = ["outline", "boxShadow", "backgroundColor", "borderColor", "color", "opacity",
    "textDecorationLine"];
  const seen = new Set();
  let last = null;

  const name = (e) => `${e.tagName.toLowerCase()}.${[...e.classList].join(".")} ` +
    JSON.stringify((e.ariaLabel ?? e.title ?? e.innerText ?? "").trim().slice(0, 40));
  // What may stand for an element: its label, or the icon inside it.
  const stands = (e) => [e, ...(e.labels ?? []), ...e.children];
  const bearers = (e) => [...stands(e), e.parentElement];
  const looks = (e) => bearers(e).flatMap((b) => [null, "::before", "::after"].map((part) => {
    const style = getComputedStyle(b, part);
    return LOOKS.map((key) => style[key]).join("|");
  })).join("\n");
  // A card's link has no box of its own: what it lays over the card stands for it.
  const spreads = (e) => getComputedStyle(e, "::after").position === "absolute";
  const boxes = (e) => [...stands(e), ...(spreads(e) ? [e.offsetParent] : [])];
  const seeable = (e) => boxes(e).some((b) => {
    const box = b.getBoundingClientRect();
    const shown = b.checkVisibility({ opacityProperty: true, visibilityProperty: true });
    return shown && box.width > 1 && box.height > 1;
  });

  window.siteCheckStop = () => {
    const problems = [];
    const now = document.activeElement;
    if (last && looks(last.element) === last.looks) {
      problems.push(`no visible focus: ${name(last.element)}`);
    }
    const ended = !now || now === document.body || seen.has(now);
    if (!ended && !seeable(now)) problems.push(`focus on something unseen: ${name(now)}`);
    seen.add(now);
    last = ended ? null : { element: now, looks: looks(now) };
    return { problems, ended };
  };
}
