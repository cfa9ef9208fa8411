"use strict";
for (const box of document.querySelectorAll(".time")) {
  const frames = [...box.querySelectorAll(".frames > div")];
  const range = box.querySelector("input"), play = box.querySelector("button"), said = box.querySelector("output");
  let timer = 0;
  const show = (index) => {
    frames.forEach((frame, k) => { frame.hidden = k !== index; });
    said.textContent = frames[index].dataset.said;
    range.value = index;
    range.setAttribute("aria-valuetext", said.textContent);
  };
  const stop = () => { clearInterval(timer); timer = 0; play.textContent = "Play"; };
  const step = () => { const next = Number(range.value) + 1; if (next < frames.length) show(next); else stop(); };
  range.addEventListener("input", () => { stop(); show(Number(range.value)); });
  play.addEventListener("click", () => {
    if (timer) { stop(); return; }
    if (Number(range.value) === frames.length - 1) show(0);
    play.textContent = "Pause";
    timer = setInterval(step, 350);
  });
  range.hidden = play.hidden = frames.length < 2;
  show(frames.length - 1);
}
const opened = [];
addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details:not([open])")) { part.open = true; opened.push(part); }
});
addEventListener("afterprint", () => { while (opened.length) opened.pop().open = false; });
