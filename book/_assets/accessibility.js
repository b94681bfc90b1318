// Blocks that scroll sideways (wide formulas, code, tables) can be reached with the Tab key, and
// only while they do scroll. The theme sees to some of them, but not to formulas, nor to blocks
// that were folded away when the page was opened.
(() => {
  const WIDE = [
    "mjx-container[display='true']",
    ".math",
    "pre",
    ".cell_output > .output",
    ".pst-scrollable-table-container",
  ].join(", ");

  const mark = (block) => {
    block.tabIndex = block.scrollWidth > block.clientWidth ? 0 : -1;
  };
  const sizes = new ResizeObserver((entries) => entries.forEach((entry) => mark(entry.target)));
  const watch = () => document.querySelectorAll(WIDE).forEach((block) => sizes.observe(block));

  document.addEventListener("DOMContentLoaded", () => {
    watch();
    window.MathJax?.startup?.promise?.then(watch);
  });
})();
