// The parts that every page has: search, the drawer on a phone, the button for light and dark.
import { violations } from "./axe.mjs";
import { THEMES, open, setTheme } from "./browser.mjs";

const NONSENSE = "qzxvwkjqzx";
const BUTTON = ".search-button__button:visible";
const FIELD = "dialog[open] input[type='search']";
const RESULTS = "#search-results li a";

// Search with the network cut: a word finds pages, the first opens, nonsense finds none.
export async function search(page, site, word) {
  const found = [];
  await page.goto(site);
  found.push(...(await ask(page, word)));
  const count = await resultsFor(page);
  if (count === 0) return [...found, `searching for "${word}" finds nothing`];
  await page.locator(RESULTS).first().click();
  await page.waitForURL((url) => !url.pathname.endsWith("/search.html"));
  await page.goto(new URL(`search.html?q=${NONSENSE}`, site).href);
  if ((await resultsFor(page)) > 0) found.push(`searching for "${NONSENSE}" finds something`);
  return found;
}

// The search box, as it lies over a page.
export async function searchBox(page) {
  await page.locator(BUTTON).first().click();
  await page.locator(FIELD).waitFor();
  const found = await violationsInBoth(page);
  await page.keyboard.press("Escape");
  if (await page.locator(FIELD).isVisible()) found.push("the search box stays after Escape");
  return found;
}

// The list of chapters, as it slides in on a phone.
export async function drawer(page) {
  await page.locator("button.primary-toggle:visible").click();
  await page.locator("dialog[open] a").first().waitFor();
  const found = await violationsInBoth(page);
  await page.keyboard.press("Escape");
  if (await page.locator("dialog[open]").count()) found.push("the drawer stays after Escape");
  return found;
}

// The button for light and dark reaches both, and the next page keeps the choice.
export async function themeButton(page) {
  const button = page.locator(".theme-switch-button:visible").first();
  const shown = new Set();
  for (let press = 0; press < 3; press += 1) {
    await button.click();
    shown.add(await theme(page));
  }
  const found = THEMES.filter((name) => !shown.has(name)).map((name) => `never reaches ${name}`);
  const chosen = await theme(page);
  await open(page, page.url());
  return (await theme(page)) === chosen ? found : [...found, "forgets the choice on the next page"];
}

async function ask(page, word) {
  await page.locator(BUTTON).first().waitFor(); // the site's first address leads on to a page
  await page.waitForLoadState("load"); // before that, nothing listens to the button
  await page.locator(BUTTON).first().click();
  const field = page.locator(FIELD);
  await field.waitFor();
  const focused = await field.evaluate((element) => element === document.activeElement);
  await field.fill(word);
  await field.press("Enter");
  await page.waitForURL((url) => url.pathname.endsWith("/search.html"));
  return focused ? [] : ["the search box opens without the focus in its field"];
}

async function resultsFor(page) {
  // The page says so in words once the search has ended, whatever it found.
  await page.locator("#search-results p.search-summary:not(:empty)").first().waitFor();
  return page.locator(RESULTS).count();
}

async function violationsInBoth(page) {
  const found = [];
  for (const name of THEMES) {
    await setTheme(page, name);
    found.push(...(await violations(page)).map((line) => `${name}: ${line}`));
  }
  return found;
}

function theme(page) {
  return page.evaluate(() => document.documentElement.dataset.theme);
}
