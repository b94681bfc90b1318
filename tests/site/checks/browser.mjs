// Chromium without a network: start it, open a page of the site, note all that goes wrong.
import { chromium } from "playwright-core";

// Chromium's own errands (updates, sync, DNS) would otherwise be tried again and again.
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
  // No name and no address but this machine's leads anywhere. Refusing requests one by one would
  // work too, but turns the cache off: every page would load the theme's files again.
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];

export const VIEWPORTS = {
  desktop: { viewport: { width: 1280, height: 900 } },
  mobile: { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true },
};
export const THEMES = ["light", "dark"];

const PATIENCE = 240_000; // milliseconds; a busy machine is slow, not wrong
const STILL = "*, *::before, *::after { transition: none !important; animation: none !important; }";

export function startBrowser(executable) {
  return chromium.launch({ executablePath: executable, args: FLAGS });
}

// A fresh profile.
export async function openContext(browser, options) {
  const context = await browser.newContext({ reducedMotion: "reduce", ...options });
  context.setDefaultTimeout(PATIENCE);
  return context;
}

// An empty page; `note(check, detail)` hears of every request, error and missing file.
export async function watchedPage(context, site, note) {
  const page = await context.newPage();
  page.on("request", (request) => {
    if (isExternal(new URL(request.url()), site)) note("external", `asked for ${request.url()}`);
  });
  page.on("websocket", (socket) => note("external", `opened a socket to ${socket.url()}`));
  page.on("pageerror", (error) => note("errors", `page error: ${error.message}`));
  page.on("console", (message) => noteConsole(message, note));
  page.on("response", (response) => {
    if (response.status() >= 400) note("errors", `${response.status()} for ${response.url()}`);
  });
  return page;
}

// Open an address and wait until it stands still: fonts, formulas, scripts of figures.
export async function open(page, address) {
  await page.goto(address, { waitUntil: "load" });
  await page.addStyleTag({ content: STILL });
  await page.evaluate(async () => {
    await window.MathJax?.startup?.promise;
    await document.fonts.ready;
  });
  await settle(page);
}

// Wait until a change of the page is drawn: its scripts learn of new sizes with the next frame.
export function settle(page) {
  return page.evaluate(() => new Promise((done) => {
    requestAnimationFrame(() => requestAnimationFrame(() => done()));
  }));
}

export async function resize(page, viewport) {
  await page.setViewportSize(viewport);
  await settle(page);
}

export function setTheme(page, theme) {
  return page.evaluate((name) => {
    document.documentElement.dataset.theme = name;
    document.documentElement.dataset.mode = name;
  }, theme);
}

function isExternal(url, site) {
  const stays = ["data:", "blob:", "about:"].includes(url.protocol);
  return !stays && url.origin !== new URL(site).origin;
}

function noteConsole(message, note) {
  const aboutFile = message.text().startsWith("Failed to load resource"); // "response" names it
  if (message.type() === "error" && !aboutFile) note("errors", `console: ${message.text()}`);
}
