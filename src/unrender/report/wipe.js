"use strict";
// Two images of a set, one over the other, with a movable edge between them. Without this script
// all images of the set are shown side by side.
for (const figure of document.querySelectorAll(".wipe")) {
  const images = [...figure.querySelectorAll("img")];
  const stage = document.createElement("div"), bar = document.createElement("input");
  const [under, over] = [0, 1].map(() => document.createElement("img"));
  const choices = [1, 0].map((first) => {
    const select = document.createElement("select");
    for (const image of images) select.add(new Option(image.alt));
    select.selectedIndex = Math.min(first, images.length - 1);
    return select;
  });

  function show() {
    const [left, right] = choices.map((select) => images[select.selectedIndex]);
    over.src = left.src;
    over.alt = left.alt;
    under.src = right.src;
    under.alt = right.alt;
    over.style.clipPath = `inset(0 ${100 - bar.value}% 0 0)`;
    stage.style.setProperty("--edge", `${bar.value}%`);
  }

  stage.className = "wipe-stage";
  bar.type = "range";
  bar.value = 50;
  bar.setAttribute("aria-label", "position of the edge, in percent");
  const labels = choices.map((select, i) => {
    const label = document.createElement("label");
    label.append(["left: ", "right: "][i], select);
    return label;
  });
  for (const part of [bar, ...choices]) part.addEventListener("input", show);
  stage.append(under, over);
  figure.prepend(...labels, stage, bar);
  figure.classList.add("live");
  figure.dataset.ready = "true";
  show();
}
