// What only the finished page can tell: how wide its blocks came out, what its formulas say.
(() => {
  // Blocks that scroll sideways can be reached with the Tab key, but only while they do scroll.
  // The theme sees to some, not to formulas, nor to what was folded away when the page opened.
  const WIDE = [
    "mjx-container[display='true']",
    ".math",
    "pre",
    ".cell_output > .output",
    ".pst-scrollable-table-container",
  ].join(", ");

  const mark = (block) => {
    if (block.scrollWidth > block.clientWidth) block.tabIndex = 0;
    else block.removeAttribute("tabindex");
  };
  // A formula may grow inside a block that keeps its own width, when its fonts arrive late.
  const markAround = (part) => {
    for (let block = part.closest(WIDE); block; block = block.parentElement.closest(WIDE)) mark(block);
  };
  const sizes = new ResizeObserver((entries) => entries.forEach((entry) => markAround(entry.target)));
  const watchWidths = () => {
    for (const part of document.querySelectorAll(`${WIDE}, .math mjx-math`)) sizes.observe(part);
  };

  // Browsers leave formulas out when they name a control or a heading after its text, so that an
  // answer like "0.3^4" would have no name at all. Its TeX stands in.
  const NAMING = "label, legend, summary, button, a, caption, figcaption, h1, h2, h3, h4, h5, h6";

  const nameFormulas = () => {
    for (const { math, typesetRoot } of window.MathJax.startup.document.math) {
      if (!typesetRoot?.closest(NAMING)) continue;
      typesetRoot.setAttribute("role", "math");
      typesetRoot.setAttribute("aria-label", math.trim());
    }
  };

  document.addEventListener("DOMContentLoaded", () => {
    watchWidths();
    window.MathJax?.startup?.promise?.then(() => {
      nameFormulas();
      watchWidths();
    });
  });
})();
