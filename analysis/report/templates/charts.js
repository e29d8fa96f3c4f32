// charts in closed details have no width, and their ink follows the page's
const charts = () => [...document.querySelectorAll(".js-plotly-plot")];
const dark = matchMedia("(prefers-color-scheme: dark)");
const ink = () => charts().forEach(c => Plotly.relayout(c, {"font.color": getComputedStyle(document.body).color}));
dark.addEventListener("change", ink); ink();
document.querySelectorAll("details.chart").forEach(d => d.addEventListener("toggle", () =>
  d.querySelectorAll(".js-plotly-plot").forEach(c => Plotly.Plots.resize(c))));
