// Look at every page of the built site in Chromium, as test_browser.py asks for on standard input:
//
//   {"site": "http://127.0.0.1:8000/", "folder": "/…/_build/html", "pages": ["book/index.html"],
//    "alike": ["book/api/text/batches.html"], "chromium": "/usr/bin/chromium", "word": "perplexity", "shots": "/…/_build/site-shots",
//    "looks": ["pages", "parts", "disk", "without scripts"]}
//
// Every page is opened at a desktop's and at a phone's width and looked at in light and in dark;
// those of "alike" pages that come out of one mould only once, in light wide and in dark narrow.
// What is wrong goes to standard output as JSON:
//
//   {"findings": [{"page", "view", "check", "detail"}], "seen": [[page, view]]}
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { violations } from "./checks/axe.mjs";
import * as browser from "./checks/browser.mjs";
import * as content from "./checks/content.mjs";
import * as controls from "./checks/controls.mjs";
import { tabWalk } from "./checks/keyboard.mjs";
import * as parts from "./checks/parts.mjs";

const AT_ONCE = 2; // pages looked at side by side
const REFLOW = 320; // CSS pixels (WCAG 1.4.10)
const PIECE = 6000; // pixels of height in one screenshot; a whole chapter is too much for Chromium

const job = JSON.parse(readFileSync(0, "utf8"));
const findings = [];
const seen = []; // [page, view]
const targets = new Map(); // address -> {anchors, links}

function noteFor(page, view) {
  return (check, detail) => findings.push({ page, view, check, detail });
}

// One tab goes through all the pages that are waiting: to open one for each would double the cost.
async function goThrough(context, view, waiting, look) {
  let name = "";
  const note = (check, detail) => noteFor(name, view)(check, detail);
  const page = await browser.watchedPage(context, job.site, note);
  while (waiting.length) {
    name = waiting.shift();
    try {
      await browser.open(page, job.site + name);
      await look(page, name, note);
    } catch (error) {
      note("errors", `the check itself stopped: ${error.message.split("\n")[0]}`);
    }
  }
  await page.close();
}

async function onDesktop(page, name, note) {
  await standing(page, name, note);
  await shoot(page, name, "desktop");
  await noteAll(note, "keyboard", tabWalk(page));
  await noteAll(note, "explorables", controls.explorables(page));
  await noteAll(note, "quizzes", controls.quizzes(page));
  await noteAll(note, "folds", controls.folds(page));
  await inBothThemes(page, name, "desktop");
}

async function onPhone(page, name, note) {
  await narrow(page, note);
  await noteAll(note, "mathematics", content.mathematics(page));
  await shoot(page, name, "mobile");
  await noteAll(note, "explorables", controls.explorables(page));
  await inBothThemes(page, name, "mobile");
}

async function alike(page, name, note) {
  const [light, dark] = browser.THEMES;
  await standing(page, name, note);
  await controls.unfoldAll(page);
  await shootInPieces(page, shotsOf(name, "desktop", light), 1);
  await inTheme(page, name, "desktop", light);
  await narrow(page, note);
  await browser.setTheme(page, dark);
  await shootInPieces(page, shotsOf(name, "mobile", dark), 1);
  await inTheme(page, name, "mobile", dark);
  await browser.resize(page, browser.VIEWPORTS.desktop.viewport);
}

async function standing(page, name, note) {
  targets.set(job.site + name, await content.anchorsAndLinks(page));
  await noteAll(note, "mathematics", content.mathematics(page));
  await noteAll(note, "images", content.images(page));
}

async function narrow(page, note) {
  const { width, height } = browser.VIEWPORTS.mobile.viewport;
  for (const limit of [REFLOW, width]) {
    await browser.resize(page, { width: limit, height });
    await noteAll(note, "width", content.width(page, limit));
  }
}

async function inBothThemes(page, name, view) {
  await controls.unfoldAll(page);
  for (const theme of browser.THEMES) await inTheme(page, name, view, theme);
}

async function inTheme(page, name, view, theme) {
  await browser.setTheme(page, theme);
  await noteAll(noteFor(name, `${view} ${theme}`), "axe", violations(page));
  seen.push([name, `${view} ${theme}`]);
}

async function noteAll(note, check, problems, prefix = "") {
  for (const problem of await problems) note(check, prefix + problem);
}

async function shoot(page, name, view) {
  for (const theme of browser.THEMES) {
    await browser.setTheme(page, theme);
    await shootInPieces(page, shotsOf(name, view, theme));
  }
  await browser.setTheme(page, browser.THEMES[0]);
}

function shotsOf(name, view, theme) {
  const start = name.replace(/\.html$/, "").replaceAll("/", "__");
  return join(job.shots, `${start}.${view}-${theme}`);
}

async function shootInPieces(page, start, most = Infinity) {
  const [width, height] = await page.evaluate(() => {
    const { scrollWidth, scrollHeight } = document.documentElement;
    return [scrollWidth, scrollHeight];
  });
  for (let y = 0, piece = 1; y < height && piece <= most; y += PIECE, piece += 1) {
    const clip = { x: 0, y, width, height: Math.min(PIECE, height - y) };
    const path = `${start}${height > PIECE ? `.${piece}` : ""}.png`;
    await page.screenshot({ path, clip, fullPage: true });
  }
}

async function lookAtParts(chromium) {
  for (const [view, options] of Object.entries(browser.VIEWPORTS)) {
    const note = noteFor("every page", view);
    const context = await browser.openContext(chromium, options);
    const page = await browser.watchedPage(context, job.site, note);
    await noteAll(note, "search", parts.search(page, job.site, job.word));
    await browser.open(page, job.site + job.pages[0]);
    await noteAll(note, "parts", parts.searchBox(page));
    if (view === "mobile") await noteAll(note, "parts", parts.drawer(page));
    await noteAll(note, "parts", parts.themeButton(page));
    await context.close();
  }
}

// The pages whose text holds an element of this class.
function pagesWith(name) {
  const found = new RegExp(`class="[^"]*\\b${name}\\b`);
  return job.pages.filter((page) => found.test(readFileSync(join(job.folder, page), "utf8")));
}

// A reader may open the site's files from a disk, with no server at all.
async function lookFromDisk(chromium) {
  const note = noteFor("every page", "from disk");
  const context = await browser.openContext(chromium, browser.VIEWPORTS.desktop);
  const page = await browser.watchedPage(context, "file:///", (check, detail) => {
    if (check === "external") note(check, detail);
  });
  const site = `${pathToFileURL(job.folder).href}/`;
  await noteAll(note, "disk", parts.search(page, `${site}index.html`, job.word));
  for (const name of pagesWith("math")) {
    await browser.open(page, site + name);
    await noteAll(note, "disk", content.mathematics(page), `${name}: `);
  }
  await context.close();
}

async function lookWithoutScripts(chromium) {
  const options = { ...browser.VIEWPORTS.desktop, javaScriptEnabled: false };
  const context = await browser.openContext(chromium, options);
  const page = await context.newPage();
  for (const name of pagesWith("explorable")) {
    await page.goto(job.site + name);
    await noteAll(noteFor(name, "without scripts"), "explorables", controls.fallbacks(page));
  }
  await context.close();
}

async function lookAtPages(chromium) {
  const inFull = job.pages.filter((name) => !job.alike.includes(name));
  await sideBySide(chromium, "desktop", inFull, onDesktop);
  await sideBySide(chromium, "mobile", inFull, onPhone);
  await sideBySide(chromium, "desktop", job.alike, alike);
  for (const [address, problem] of await content.brokenLinks(job.site, targets)) {
    findings.push({ page: address, view: "desktop", check: "links", detail: problem });
  }
}

async function sideBySide(chromium, view, names, look) {
  const context = await browser.openContext(chromium, browser.VIEWPORTS[view]);
  const waiting = [...names];
  const tabs = Array.from({ length: AT_ONCE }, () => goThrough(context, view, waiting, look));
  await Promise.all(tabs);
  await context.close();
}

const LOOKS = {
  pages: lookAtPages,
  parts: lookAtParts,
  disk: lookFromDisk,
  "without scripts": lookWithoutScripts,
};

mkdirSync(job.shots, { recursive: true });
const chromium = await browser.startBrowser(job.chromium);
for (const look of job.looks) {
  await LOOKS[look](chromium).catch((error) => {
    noteFor("every page", look)("errors", `the check itself stopped: ${error.message}`);
  });
}
await chromium.close();
process.stdout.write(JSON.stringify({ findings, seen }));
