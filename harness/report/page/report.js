"use strict";
(function () {
  const EVERY_MS = 400;

  // Hover and focus show an explanation, which needs no script; Escape puts it away.
  document.addEventListener("keydown", function (event) {
    const at = document.activeElement;
    if (event.key === "Escape" && at && at.classList.contains("explained")) at.blur();
  });

  const moving = document.getElementById("moving");
  if (moving) {
    const button = document.getElementById("play-moving"), still = moving.src;
    button.hidden = false;
    button.addEventListener("click", function () {
      const plays = moving.src !== still;
      moving.src = plays ? still : moving.dataset.moving;
      button.textContent = plays ? "Play" : "Stop";
    });
  }

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

  const play = document.getElementById("play");
  let timer = 0;
  function stop() {
    clearInterval(timer);
    timer = 0;
    play.textContent = "Play";
  }
  function step() {
    slider.value = (Number(slider.value) + 1) % frames.length;
    show();
  }
  play.hidden = frames.length < 2;
  play.addEventListener("click", function () {
    if (timer) return stop();
    play.textContent = "Stop";
    timer = setInterval(step, EVERY_MS);
    step();
  });
  slider.addEventListener("input", function () {
    stop();
    show();
  });
  show();
})();
