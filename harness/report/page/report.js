"use strict";
(function () {
  const slider = document.getElementById("frame");
  if (!slider) return;
  const frames = JSON.parse(document.getElementById("frames").textContent);
  const text = document.getElementById("frame-text");
  const maps = ["truth", "image", "error"].map(function (name) {
    return { name: name, figure: document.getElementById("map-" + name) };
  });
  function show() {
    const frame = frames[Number(slider.value)];
    for (const map of maps) {
      const picture = map.figure.querySelector("img");
      picture.src = frame[map.name];
      picture.alt = map.figure.dataset.alt + ", frame " + frame.frame;
      map.figure.querySelector(".outline").setAttribute("d", frame.outline);
      const found = map.figure.querySelector(".found");
      if (found) found.setAttribute("d", frame.found);
    }
    text.textContent = frame.text;
    slider.setAttribute("aria-valuetext", frame.text);
  }
  slider.addEventListener("input", show);
  show();
})();
