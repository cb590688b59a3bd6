"use strict";
// What a chart's points say, when pointed at or touched.
(() => {
  const tip = document.getElementById("tip");
  for (const title of document.querySelectorAll("svg title")) {
    title.parentNode.dataset.tip = title.textContent;
    title.remove(); // else the browser shows it a second time
  }
  const show = (event) => {
    const found = event.target.closest && event.target.closest("[data-tip]");
    tip.hidden = !found;
    if (!found) return;
    tip.textContent = found.dataset.tip;
    const box = tip.getBoundingClientRect();
    tip.style.left = Math.max(4, Math.min(event.clientX + 12, innerWidth - box.width - 4)) + "px";
    tip.style.top = (event.clientY - box.height - 12 < 4 ? event.clientY + 16 : event.clientY - box.height - 12) + "px";
  };
  document.addEventListener("pointerover", show);
  document.addEventListener("pointerdown", show);
  addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });
})();

// The table sorts: numbers as numbers, what has no value last.
(() => {
  const table = document.getElementById("ranking");
  if (!table) return;
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const compare = (a, b) => {
    if (a === "" || b === "") return 0;
    const x = Number(a), y = Number(b);
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
  };
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const value = (row) => row.cells[column].dataset.value;
      const rows = [...body.rows];
      const known = rows.filter((row) => value(row) !== "").sort((a, b) => compare(value(a), value(b)) * (down ? -1 : 1));
      body.append(...known, ...rows.filter((row) => value(row) === ""));
    });
  });
})();

// A link to a candidate opens its card.
(() => {
  const open = () => {
    const card = /^#c\d+$/.test(location.hash) && document.getElementById(location.hash.slice(1));
    if (!card) return;
    card.open = true;
    card.scrollIntoView();
  };
  addEventListener("hashchange", open);
  open();
})();

// Structures: spheres, bonds and the edges of the cell, drawn back to front on a plain canvas.
(() => {
  const scenes = JSON.parse(document.getElementById("scenes").textContent);
  const HOME = [[0.83, 0.0, -0.56], [-0.19, 0.94, -0.28], [0.53, 0.34, 0.78]];
  const turned = (m, dx, dy) => { // first about the vertical of the screen, then about its horizontal
    const [c, s, k, t] = [Math.cos(dx), Math.sin(dx), Math.cos(dy), Math.sin(dy)];
    const [a, b, d] = m;
    const across = a.map((v, i) => c * v + s * d[i]), deep = d.map((v, i) => c * v - s * a[i]);
    return [across, b.map((v, i) => k * v - t * deep[i]), deep.map((v, i) => t * b[i] + k * v)];
  };
  const light = (hex) => [1, 3, 5].reduce((sum, i, n) => sum + parseInt(hex.slice(i, i + 2), 16) * [0.299, 0.587, 0.114][n], 0) > 140;
  const shade = (hex, f) => "rgb(" + [1, 3, 5].map((i) => {
    const v = parseInt(hex.slice(i, i + 2), 16);
    return Math.round(f < 1 ? v * f : v + (255 - v) * (f - 1));
  }).join(",") + ")";

  const viewer = (canvas, scene) => {
    const pen = canvas.getContext("2d");
    const size = Math.max(2, ...scene.corners.concat(scene.atoms).map((p) => Math.hypot(p[0], p[1], p[2]))) + 0.9;
    let turn = HOME, zoom = 1, waiting = false;

    const draw = () => {
      waiting = false;
      const width = canvas.clientWidth, ratio = devicePixelRatio || 1;
      if (!width) return; // closed
      const side = Math.round(width * ratio);
      if (canvas.width !== side) canvas.width = canvas.height = side;
      const scale = (side / 2 / size) * zoom, far = size * 5, ink = getComputedStyle(canvas).color;
      const at = (p) => {
        const [x, y, z] = turn.map((row) => row[0] * p[0] + row[1] * p[1] + row[2] * p[2]);
        const near = far / (far - z);
        return { x: side / 2 + x * scale * near, y: side / 2 - y * scale * near, z, s: scale * near };
      };
      const atoms = scene.atoms.map(at), corners = scene.corners.map(at), parts = [];
      const mix = (a, b, f) => ({ x: a.x + (b.x - a.x) * f, y: a.y + (b.y - a.y) * f, z: a.z + (b.z - a.z) * f });
      const stick = (a, b, colour, thick) => parts.push({ z: (a.z + b.z) / 2, do() {
        pen.strokeStyle = colour; pen.lineWidth = thick; pen.lineCap = "round";
        pen.beginPath(); pen.moveTo(a.x, a.y); pen.lineTo(b.x, b.y); pen.stroke();
      } });
      for (const [i, j] of scene.edges) {
        for (let k = 0; k < 8; k += 1) stick(mix(corners[i], corners[j], k / 8), mix(corners[i], corners[j], (k + 1) / 8), ink, 1.2 * ratio);
      }
      for (const [i, j] of scene.bonds) {
        const a = atoms[i], b = atoms[j], half = mix(a, b, 0.5), thick = scale * 0.2;
        stick(a, half, shade(scene.kinds[scene.atoms[i][3]].colour, 0.72), thick);
        stick(half, b, shade(scene.kinds[scene.atoms[j][3]].colour, 0.72), thick);
      }
      atoms.forEach((p, i) => {
        const kind = scene.kinds[scene.atoms[i][3]], r = p.s * kind.radius * 0.52;
        parts.push({ z: p.z + 0.05, do() {
          const glow = pen.createRadialGradient(p.x - r * 0.35, p.y - r * 0.4, r * 0.1, p.x, p.y, r);
          glow.addColorStop(0, shade(kind.colour, 1.65)); glow.addColorStop(0.55, kind.colour); glow.addColorStop(1, shade(kind.colour, 0.6));
          pen.fillStyle = glow; pen.strokeStyle = shade(kind.colour, 0.45); pen.lineWidth = 0.8 * ratio;
          pen.beginPath(); pen.arc(p.x, p.y, r, 0, 2 * Math.PI); pen.fill(); pen.stroke();
          if (r > 7 * ratio) {
            pen.fillStyle = light(kind.colour) ? "#10131a" : "#ffffff";
            pen.font = "600 " + Math.min(r * 0.9, 15 * ratio) + "px system-ui, sans-serif";
            pen.textAlign = "center"; pen.textBaseline = "middle"; pen.fillText(kind.symbol, p.x, p.y);
          }
        } });
      });
      pen.clearRect(0, 0, side, side);
      parts.sort((a, b) => a.z - b.z).forEach((part) => part.do());
    };
    const redraw = () => { if (!waiting) { waiting = true; requestAnimationFrame(draw); } };
    const rotate = (dx, dy) => { turn = turned(turn, dx, dy); redraw(); };
    const enlarge = (factor) => { zoom = Math.min(8, Math.max(0.4, zoom * factor)); redraw(); };

    const held = new Map();
    const spread = () => { const [a, b] = [...held.values()]; return Math.hypot(a.x - b.x, a.y - b.y); };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      held.set(event.pointerId, { x: event.clientX, y: event.clientY });
    });
    canvas.addEventListener("pointermove", (event) => {
      const before = held.get(event.pointerId);
      if (!before) return;
      const apart = held.size === 2 ? spread() : 0, slow = 0.01 / held.size;
      rotate((event.clientX - before.x) * slow, (event.clientY - before.y) * slow);
      held.set(event.pointerId, { x: event.clientX, y: event.clientY });
      if (apart) enlarge(spread() / apart);
    });
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
      canvas.addEventListener(name, (event) => held.delete(event.pointerId));
    }
    canvas.addEventListener("wheel", (event) => { // the page keeps its wheel until the structure was touched
      if (document.activeElement !== canvas) return;
      event.preventDefault();
      enlarge(Math.exp(-event.deltaY * 0.0015));
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      const deeds = {
        ArrowLeft: () => rotate(-0.15, 0), ArrowRight: () => rotate(0.15, 0), ArrowUp: () => rotate(0, -0.15),
        ArrowDown: () => rotate(0, 0.15), "+": () => enlarge(1.2), "=": () => enlarge(1.2), "-": () => enlarge(1 / 1.2),
        0: () => { turn = HOME; zoom = 1; redraw(); },
      };
      if (!deeds[event.key]) return;
      event.preventDefault();
      deeds[event.key]();
    });
    new ResizeObserver(redraw).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  };
  for (const canvas of document.querySelectorAll("canvas[data-scene]")) viewer(canvas, scenes[canvas.dataset.scene]);
})();
