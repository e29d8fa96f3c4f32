// the table of trials: headings sort, the field filters, "copy" gives a whole configuration
const table = document.getElementById("table");
if (table) {
  const body = table.tBodies[0], rows = [...body.rows];
  const heads = [...table.tHead.rows[0].cells].filter(head => head.hasAttribute("aria-sort"));
  const columns = heads.map(head => head.textContent.trim());
  const text = (row, column) => row.cells[column].textContent;

  const compare = (a, b) => a === "" || b === "" ? (a === "") - (b === "")  // the unknown last, either way
    : isNaN(a) || isNaN(b) ? direction * a.localeCompare(b) : direction * (a - b);
  let direction = 1;
  heads.forEach((head, column) => head.firstChild.addEventListener("click", () => {
    direction = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    heads.forEach(other => other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
    body.append(...rows.sort((a, b) => compare(text(a, column), text(b, column))));
  }));

  const tests = {"<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b};
  const passes = (row, term) => {
    const [, name, test, value] = term.match(/^([^<>=]+)(<=|>=|<|>|=)(.*)$/) || [];
    const column = columns.indexOf(name);
    if (column < 0) return row.textContent.toLowerCase().includes(term.toLowerCase());
    const found = text(row, column);
    if (test === "=") return found.toLowerCase() === value.toLowerCase() || (found && value && +found === +value);
    return found !== "" && value !== "" && tests[test](+found, +value);
  };
  const filter = document.getElementById("filter"), shown = document.getElementById("shown");
  filter.addEventListener("input", () => {
    const terms = filter.value.trim().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) count += !(row.hidden = !terms.every(term => passes(row, term)));
    shown.value = `${count} of ${rows.length} shown`;
  });

  const whole = row => {
    const config = JSON.parse(document.getElementById("base").textContent);
    for (const [path, value] of Object.entries(JSON.parse(row.dataset.set))) {
      const [, model, name] = path.match(/^(model\.)?(.*)$/);
      (model ? config.model : config)[name] = value;
    }
    return JSON.stringify(config, null, 2);
  };
  body.addEventListener("click", async event => {
    const button = event.target.closest("button");
    if (!button) return;
    const config = whole(button.closest("tr"));
    try {
      await navigator.clipboard.writeText(config);
      button.textContent = "copied";
    } catch {  // a browser may keep a file from the clipboard
      prompt("The trial's configuration:", config);
    }
    setTimeout(() => button.textContent = "copy", 2000);
  });
}
