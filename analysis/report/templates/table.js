// tables: headings sort; that of the trials: the field filters, "copy" gives a whole configuration
const cellsOf = (row, column) => row.cells[column].textContent.trim();
const number = text => /^[^a-z]*\d/i.test(text) ? parseFloat(text.replace(/,/g, "").replace(/^[^\d.+-]+/, "")) : NaN;
const order = (a, b, direction) => a === "" || b === "" ? (a === "") - (b === "")  // the unknown last, either way
  : direction * (isNaN(number(a)) || isNaN(number(b)) ? a.localeCompare(b, undefined, {numeric: true}) : number(a) - number(b));
for (const sorted of document.querySelectorAll("table")) {
  const heads = [...sorted.tHead.rows[0].cells].filter(head => head.hasAttribute("aria-sort")), body = sorted.tBodies[0];
  heads.forEach((head, column) => head.firstChild.addEventListener("click", () => {
    const direction = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    heads.forEach(other => other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
    body.append(...[...body.rows].sort((a, b) => order(cellsOf(a, column), cellsOf(b, column), direction)));
  }));
}

const trials = document.getElementById("table");
if (trials) {
  const body = trials.tBodies[0], rows = [...body.rows];
  const columns = [...trials.tHead.rows[0].cells].map(head => head.textContent.trim()).slice(0, -1);
  const tests = {"<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b};
  const parsed = term => (term.match(/^([^<>=]+)(<=|>=|<|>|=)(.*)$/) || []).slice(1);
  const passes = (row, term) => {
    const [name, test, value] = parsed(term);
    if (!test) return row.textContent.toLowerCase().includes(term.toLowerCase());
    const found = cellsOf(row, columns.indexOf(name));
    if (test === "=") return found.toLowerCase() === value.toLowerCase() || (found && value && +found === +value);
    return found !== "" && value !== "" && tests[test](+found, +value);
  };
  const filter = document.getElementById("filter"), shown = document.getElementById("shown");
  filter.addEventListener("input", () => {
    const terms = filter.value.trim().replace(/\s*(<=|>=|<|>|=)\s*/g, "$1").split(/\s+/).filter(Boolean);
    const unknown = terms.map(term => parsed(term)[0]).find(name => name && !columns.includes(name));
    const empty = terms.find(term => /[<>]/.test(parsed(term)[1]) && (parsed(term)[2] === "" || isNaN(parsed(term)[2])));
    const kept = unknown || empty ? [] : terms;
    let count = 0;
    for (const row of rows) count += !(row.hidden = !kept.every(term => passes(row, term)));
    shown.value = unknown ? `no field ${unknown}: there are ${columns.join(", ")}`
      : empty ? `${empty} must end in a number` : `${count} of ${rows.length} shown`;
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
