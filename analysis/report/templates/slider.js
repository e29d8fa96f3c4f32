
// the slider of the KL weight: which row of the sprites is seen, and where the dot is on the curve
const range = document.getElementById("walk");
if (range) {
  const walk = range.closest(".walk"), stops = JSON.parse(walk.querySelector("script").textContent);
  const dot = walk.querySelector(".at"), told = walk.querySelector(".told");
  const turn = () => {
    const {x, y, text} = stops[range.value];
    walk.style.setProperty("--k", range.value);
    dot.setAttribute("cx", x);
    dot.setAttribute("cy", y);
    range.setAttribute("aria-valuetext", text);
    told.textContent = text;
  };
  range.addEventListener("input", turn);
  turn();
  walk.hidden = false;
  walk.nextElementSibling.hidden = true;
}
