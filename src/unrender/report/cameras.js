"use strict";
// Turns the drawings of cameras. Without this script the still drawings stay in their place.
for (const figure of document.querySelectorAll(".cameras3d:has(canvas)")) {
  const data = JSON.parse(figure.querySelector("script").textContent);
  const stage = figure.querySelector(".stage"), canvas = stage.querySelector("canvas");
  const context = canvas.getContext("2d");
  const boxes = [...figure.querySelectorAll("input")];
  const [azimuth0, elevation0, distance0, focal, lift] = data.view;
  const pointers = new Map();
  let azimuth = azimuth0, elevation = elevation0, zoom = 1, side = 1, waiting = false;

  function project(x, y, z) { // as cameras3d.py does
    const ca = Math.cos(azimuth), sa = Math.sin(azimuth);
    const ce = Math.cos(elevation), se = Math.sin(elevation);
    const distance = Math.max(distance0 - (ce * ca * x + ce * sa * y + se * z), 0.05);
    const scale = zoom * focal * side / distance;
    const right = -sa * x + ca * y, up = -se * ca * x - se * sa * y + ce * z;
    const middle = canvas.height / 2 - lift * side;
    return [canvas.width / 2 + scale * right, middle - scale * up, distance];
  }

  function stroke(points) {
    points.forEach(([x, y], i) => i ? context.lineTo(x, y) : context.moveTo(x, y));
  }

  function lines(flat) {
    return Array.from({ length: flat.length / 3 }, (_, i) =>
      project(...flat.slice(3 * i, 3 * i + 3)));
  }

  function draw() {
    waiting = false;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(stage.clientWidth * ratio);
    canvas.height = Math.round(stage.clientHeight * ratio);
    side = Math.min(canvas.height, canvas.width / 1.3);
    const fine = Math.max(0.5, side / 540); // lines as wide as in the still drawing
    const style = getComputedStyle(figure);
    context.lineWidth = ratio;
    context.strokeStyle = style.getPropertyValue("--line");
    context.beginPath();
    data.ground.forEach((line) => stroke(lines(line)));
    context.stroke();

    const sets = data.sets.map((frusta) => frusta.map((flat) => flat && lines(flat)));
    const cameras = (front) => sets.forEach((frusta, index) => {
      if (!boxes[index].checked) return;
      context.strokeStyle = style.getPropertyValue(`--set${index}`);
      context.lineWidth = (index ? 1.3 : 4) * fine;
      context.globalAlpha = index ? 1 : 0.3; // the ground truth is a wide, pale line under the others
      context.beginPath();
      frusta.forEach((points, i) => {
        if (!points || (points[0][2] <= distance0) !== front) return;
        data.strokes.forEach((way) => stroke(way.map((j) => points[j])));
        if (index) stroke([points[0], sets[0][i][0]]);
      });
      context.stroke();
      context.globalAlpha = 1;
    });

    cameras(false);
    const dots = data.points.map(([x, y, z], i) => [...project(x, y, z), data.colors[i]]);
    dots.sort((a, b) => b[2] - a[2]);
    for (const [x, y, distance, color] of dots) {
      const radius = 0.0125 * zoom * side / distance;
      context.fillStyle = color;
      context.fillRect(x - radius, y - radius, 2 * radius, 2 * radius);
    }
    cameras(true);
    canvas.dataset.ready = "true";
  }

  function redraw() {
    if (!waiting) requestAnimationFrame(draw);
    waiting = true;
  }

  function enlarge(factor) {
    zoom = Math.min(Math.max(zoom * factor, 0.4), 12);
    redraw();
  }

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, [event.clientX, event.clientY]);
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const other = [...pointers].find(([id]) => id !== event.pointerId);
    const now = [event.clientX, event.clientY];
    pointers.set(event.pointerId, now);
    if (other) {
      const span = ([x, y]) => Math.max(Math.hypot(x - other[1][0], y - other[1][1]), 1);
      enlarge(span(now) / span(before));
      return;
    }
    azimuth -= (now[0] - before[0]) * 0.008;
    elevation = Math.min(Math.max(elevation + (now[1] - before[1]) * 0.008, -1.5), 1.5);
    redraw();
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, (event) => pointers.delete(event.pointerId));
  }
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return; // a plain scroll goes on down the page
    event.preventDefault();
    enlarge(Math.exp(-event.deltaY * 0.005));
  }, { passive: false });
  canvas.addEventListener("dblclick", () => {
    [azimuth, elevation, zoom] = [azimuth0, elevation0, 1];
    redraw();
  });
  boxes.forEach((box) => box.addEventListener("change", redraw));
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  window.addEventListener("resize", redraw);
  canvas.hidden = false;
  figure.classList.add("live");
  draw();
}
