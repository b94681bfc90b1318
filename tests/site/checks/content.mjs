// What a page shows: formulas, pictures, links, nothing wider than the screen.

// Formulas are typeset and can be read aloud; no TeX is left in the text.
export function mathematics(page) {
  return page.evaluate(() => {
    const RAW = /\\\(|\\\[|\$\$|\\begin\{|\\(?:frac|mathbf|mathrm|text|sum|left|eta|theta)\b/;
    const NOT_PROSE = "pre, code, kbd, samp, script, style, textarea, noscript, mjx-container";
    const start = (text) => JSON.stringify(text.trim().slice(0, 60));
    const found = [];
    for (const formula of document.querySelectorAll(".math")) {
      if (!formula.querySelector("mjx-container")) {
        found.push(`not typeset: ${start(formula.textContent)}`);
      }
    }
    for (const error of document.querySelectorAll("mjx-merror, [data-mjx-error]")) {
      found.push(`TeX error: ${start(error.dataset.mjxError ?? error.textContent)}`);
    }
    for (const formula of document.querySelectorAll("mjx-container")) {
      if (!formula.querySelector("mjx-assistive-mml")) {
        found.push(`nothing to read aloud: ${start(formula.textContent)}`);
      }
    }
    for (const formula of document.querySelectorAll(".math")) {
      const drawn = formula.querySelector("mjx-math")?.getBoundingClientRect().width;
      if (drawn <= formula.clientWidth + 1 && formula.scrollWidth > formula.clientWidth + 1) {
        found.push(`scrolls though it fits: ${start(formula.textContent)}`);
      }
    }
    const unnamed = ":is(label, legend, summary, button) mjx-container:not([aria-label])";
    for (const formula of document.querySelectorAll(unnamed)) {
      const name = formula.closest("label, legend, summary, button").innerText;
      found.push(`a formula missing from a control's name: ${start(name)}`);
    }
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const { parentElement, data } = texts.currentNode;
      const prose = !parentElement.closest(NOT_PROSE);
      if (prose && RAW.test(data)) found.push(`raw TeX: ${start(data)}`);
    }
    return found;
  });
}

// Every picture says what it shows, unless it is marked as decoration.
export function images(page) {
  return page.evaluate(() => {
    const POOR = /^[0-9a-f]{16,}|\.(png|svg|jpe?g|gif|webp)$|^(image|figure|plot|picture|chart)$/i;
    const IGNORED = "[aria-hidden='true'], [role='presentation'], [role='none']";
    const decoration = (e) => e.closest(IGNORED);
    const found = [];
    for (const image of document.images) {
      const alt = (image.getAttribute("alt") ?? "").trim();
      const source = image.getAttribute("src")?.slice(0, 60);
      if (decoration(image)) continue;
      if (!alt) found.push(`no alt text: ${source}`);
      else if (POOR.test(alt)) found.push(`alt text ${JSON.stringify(alt)} describes nothing`);
      if (image.complete && !image.naturalWidth) found.push(`does not load: ${source}`);
    }
    for (const drawing of document.querySelectorAll("main svg:not(svg svg), main canvas")) {
      const named = drawing.matches("[aria-label], [aria-labelledby]") ||
        drawing.querySelector(":scope > title") || drawing.closest("[role='img'][aria-label]");
      const part = drawing.closest("mjx-container, button, summary, a");
      if (!named && !part && !decoration(drawing)) {
        found.push(`drawing without a name: ${drawing.outerHTML.slice(0, 80)}`);
      }
    }
    return found;
  });
}

// The page does not scroll sideways at `width` pixels, and no text is cut off.
export function width(page, width) {
  return page.evaluate((limit) => {
    const name = (e) => {
      const words = e.textContent.trim().replace(/\s+/g, " ").slice(0, 30);
      return `${e.tagName.toLowerCase()}.${[...e.classList].join(".")} "${words}"`;
    };
    const contained = (e) => {
      for (let a = e.parentElement; a && a !== document.body; a = a.parentElement) {
        if (getComputedStyle(a).overflowX !== "visible") return true;
      }
      return false;
    };
    const all = [...document.querySelectorAll("main *")].filter((e) => !e.closest("mjx-container"));
    const found = [];
    if (document.documentElement.scrollWidth > limit) {
      const wide = all.filter((e) => e.getBoundingClientRect().right > limit + 1 && !contained(e));
      const names = wide.slice(0, 3).map(name).join("; ");
      found.push(`${document.documentElement.scrollWidth} px wide at ${limit} px: ${names}`);
    }
    for (const element of all) {
      const clips = ["hidden", "clip"].includes(getComputedStyle(element).overflowX);
      if (clips && element.clientWidth > 24 && element.scrollWidth > element.clientWidth + 1) {
        found.push(`cut off at ${limit} px: ${name(element)}`);
      }
    }
    return found;
  }, width);
}

// What the links of the whole site are checked against once every page was seen.
export function anchorsAndLinks(page) {
  return page.evaluate(() => ({
    anchors: [...document.querySelectorAll("[id], a[name]")].map((e) => e.id || e.name),
    links: [...document.querySelectorAll("a[href], area[href]")].map((e) => e.href),
  }));
}

// Links inside the site that lead nowhere, as [page, problem] pairs; `pages` maps the address of
// each page to its anchors and links.
export async function brokenLinks(site, pages) {
  const found = [];
  for (const [from, { links }] of pages) {
    for (const link of new Set(links.filter((address) => address.startsWith(site)))) {
      const { address, anchor } = split(link);
      const anchors = pages.get(address)?.anchors;
      if (!anchors && !(await exists(address))) found.push([from, `${link} does not exist`]);
      if (anchor && anchors && !anchors.includes(anchor)) found.push([from, `no anchor: ${link}`]);
    }
  }
  return found;
}

function split(link) {
  const url = new URL(link);
  const anchor = decodeURIComponent(url.hash.slice(1));
  return { address: url.origin + url.pathname, anchor };
}

const known = new Map();

async function exists(address) {
  if (!known.has(address)) known.set(address, (await fetch(address, { method: "HEAD" })).ok);
  return known.get(address);
}
