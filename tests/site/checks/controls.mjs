// What a reader can move, choose and unfold, by keyboard and by mouse.
import { settle } from "./browser.mjs";

const SPOKEN = "[role='status'], [role='alert'], [aria-live], output";

// Explorable figures: every control moves, says where it stands and changes the picture.
export async function explorables(page) {
  const found = [];
  for (const figure of await page.locator(".explorable:visible").all()) {
    const controls = await figure.locator("input[type='range'], select").all();
    if (controls.length === 0) found.push("a figure that moves has no slider and no list");
    for (const control of controls) {
      const name = await nameOf(control);
      const problems = [...(await byKeyboard(control)), ...(await byMouse(control))];
      found.push(...problems.map((problem) => `${name}: ${problem}`));
    }
  }
  return found;
}

// Without scripts a figure still shows a picture or a table.
export async function fallbacks(page) {
  const found = [];
  for (const figure of await page.locator(".explorable").all()) {
    const shown = await figure.locator("img:visible, svg:visible, table:visible").count();
    if (shown === 0) found.push("a figure that moves shows nothing without scripts");
  }
  return found;
}

// Quizzes: each choice, taken by keyboard, shows a reason of its own and announces it.
export async function quizzes(page) {
  const found = [];
  for (const quiz of await page.locator(".quiz:visible").all()) {
    const choices = await quiz.locator("input[type='radio'], input[type='checkbox'], button").all();
    if (choices.length < 2) found.push(`a quiz with ${choices.length} choice(s)`);
    const reasons = [];
    for (const choice of choices) reasons.push([await nameOf(choice), await choose(quiz, choice)]);
    found.push(...poorReasons(reasons));
  }
  return found;
}

// Everything folded (solutions, hidden code) opens by keyboard and then shows something.
export async function folds(page) {
  const found = [];
  for (const title of await page.locator("main details > summary").all()) {
    if ((await title.isVisible()) && !(await isOpen(title))) found.push(...(await unfold(title)));
  }
  const nameless = await page.locator("main button.toggle-button").count();
  if (nameless) found.push(`${nameless} fold(s) whose buttons are all called the same`);
  return found;
}

// Open all that is left, for a look at the whole page.
export async function unfoldAll(page) {
  await page.evaluate(() => document.querySelectorAll("details").forEach((d) => (d.open = true)));
  await settle(page);
}

async function byKeyboard(control) {
  const found = [];
  const pictures = new Set([await picture(control)]);
  for (const key of ["Home", "ArrowRight", "ArrowDown", "End", "ArrowLeft", "ArrowUp"]) {
    const [value, told] = [await control.inputValue(), await readOut(control)];
    await press(control, key);
    pictures.add(await picture(control));
    const moved = (await control.inputValue()) !== value;
    if (moved && (await readOut(control)) === told) found.push(`${key} moves it, nothing says so`);
  }
  if (pictures.size === 1) found.push("no key changes the picture");
  if ((await isSlider(control)) && !(await control.getAttribute("aria-valuetext"))) {
    found.push("a slider without aria-valuetext");
  }
  return found;
}

// A list is the browser's own matter; a slider must follow a press on its track.
async function byMouse(control) {
  if (!(await isSlider(control))) return [];
  const seen = new Set();
  await control.scrollIntoViewIfNeeded();
  const { width, height } = await control.boundingBox();
  for (const part of [0.1, 0.9]) {
    await control.click({ position: { x: width * part, y: height / 2 } });
    await nextFrame(control.page());
    seen.add(`${await control.inputValue()} ${await readOut(control)}`);
  }
  return seen.size === 2 ? [] : ["a press on its track does not move it"];
}

// What a figure says of where it stands: to a screen reader, or in words beside the control.
function readOut(control) {
  return control.evaluate((input, spoken) => {
    const figure = input.closest(".explorable");
    const texts = [...figure.querySelectorAll(`${spoken}, figcaption`)].map((e) => e.innerText);
    const images = [...figure.querySelectorAll("img")].filter((e) => e.checkVisibility());
    const chosen = input.selectedOptions?.[0]?.text ?? input.getAttribute("aria-valuetext");
    return JSON.stringify([chosen, texts, images.map((e) => e.alt)]);
  }, SPOKEN);
}

// What the figure draws.
function picture(control) {
  return control.evaluate((input) => {
    const figure = input.closest(".explorable");
    const shown = [...figure.querySelectorAll("img, svg, canvas, table")];
    const draw = (e) => e.src ?? e.toDataURL?.() ?? e.innerHTML;
    return shown.filter((e) => e.checkVisibility()).map(draw).join("\n");
  });
}

// Take one choice by keyboard; the text that appears for it, and whether a screen reader says so.
async function choose(quiz, choice) {
  const [before, silent] = [await lines(quiz), await spoken(quiz)];
  await press(choice, (await choice.evaluate((e) => e.tagName)) === "BUTTON" ? "Enter" : "Space");
  const shown = (await lines(quiz)).filter((line) => !before.includes(line)).join(" ");
  return { shown, announced: (await spoken(quiz)) !== silent };
}

async function spoken(quiz) {
  return (await quiz.locator(SPOKEN).allTextContents()).join("\n");
}

function poorReasons(reasons) {
  const found = [];
  const seen = new Set();
  for (const [name, { shown, announced }] of reasons) {
    if (shown.length < 10) found.push(`${name}: choosing it shows no reason`);
    else if (seen.has(shown)) found.push(`${name}: the same reason as another choice`);
    if (!announced) found.push(`${name}: choosing it announces nothing`);
    seen.add(shown);
  }
  return found;
}

async function unfold(title) {
  const name = (await title.innerText()).trim().slice(0, 60);
  await press(title, "Enter");
  if (!(await isOpen(title))) return [`${name}: does not open with Enter`];
  const height = await title.evaluate((e) => e.parentElement.offsetHeight - e.offsetHeight);
  if (height < 10) return [`${name}: opens and shows nothing`];
  return name ? [] : ["a fold without a title"];
}

async function press(element, key) {
  await element.focus();
  await element.page().keyboard.press(key);
  await nextFrame(element.page());
}

function nextFrame(page) {
  return page.evaluate(() => new Promise((done) => requestAnimationFrame(() => done())));
}

async function lines(element) {
  return (await element.innerText()).split("\n").map((line) => line.trim());
}

function isOpen(title) {
  return title.evaluate((summary) => summary.parentElement.open);
}

function isSlider(control) {
  return control.evaluate((element) => element.type === "range");
}

function nameOf(control) {
  return control.evaluate((element) => {
    const words = element.ariaLabel ?? element.labels?.[0]?.innerText ?? element.innerText;
    return words.trim().replace(/\s+/g, " ").slice(0, 60);
  });
}
