// plotly.js lies compressed at the end of the page, and is unpacked when a chart is first shown
let library;
const plotly = () => library ??= (async () => {
  const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), c => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
})();

const options = {displaylogo: false, responsive: true, displayModeBar: "hover"};
const ink = () => getComputedStyle(document.body).color;  // of charts too, whose paper is the page's
const show = async place => {
  await plotly();
  if (place.data) return Plotly.Plots.resize(place);
  const {data, layout} = JSON.parse(place.nextElementSibling.textContent);
  layout.font.color = ink();
  await Plotly.newPlot(place, data, layout, options);
};
const charts = [...document.querySelectorAll(".chart")];
for (const place of charts) {
  const details = place.closest("details");
  if (details) details.addEventListener("toggle", () => details.open && show(place));
  else show(place);
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
  charts.filter(place => place.data).forEach(place => Plotly.relayout(place, {"font.color": ink()})));
