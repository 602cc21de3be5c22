"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const map = byId("map");
  const whole = {x: 0, y: 0, width: data.width, height: data.height};
  let view = {...whole};

  function show() {
    map.setAttribute("viewBox", `${view.x} ${view.y} ${view.width} ${view.height}`);
  }
  const point = (event) => new DOMPoint(event.clientX, event.clientY).matrixTransform(map.getScreenCTM().inverse());
  function zoom(factor, {x, y} = {x: view.x + view.width / 2, y: view.y + view.height / 2}) {
    const width = Math.max(data.width / 200, Math.min(1.5 * data.width, view.width * factor));
    const by = width / view.width;
    view = {x: x - (x - view.x) * by, y: y - (y - view.y) * by, width, height: view.height * by};
    show();
  }
  function move(right, down) {
    view.x += right;
    view.y += down;
    show();
  }
  byId("in").addEventListener("click", () => zoom(0.6));
  byId("out").addEventListener("click", () => zoom(1 / 0.6));
  byId("whole").addEventListener("click", () => { view = {...whole}; show(); });
  map.addEventListener("wheel", (event) => { event.preventDefault(); zoom(event.deltaY < 0 ? 0.8 : 1.25, point(event)); }, {passive: false});
  map.addEventListener("keydown", (event) => {
    const step = view.width / 8;
    const act = {"+": () => zoom(0.6), "=": () => zoom(0.6), "-": () => zoom(1 / 0.6), ArrowLeft: () => move(-step, 0),
      ArrowRight: () => move(step, 0), ArrowUp: () => move(0, -step), ArrowDown: () => move(0, step)}[event.key];
    if (act) { event.preventDefault(); act(); }
  });

  // One finger or the mouse moves the map; two fingers zoom.
  const fingers = new Map();
  let moved = 0;
  const spread = () => { const [a, b] = [...fingers.values()]; return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY); };
  map.addEventListener("pointerdown", (event) => { fingers.set(event.pointerId, event); moved = 0; });
  addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const apart = fingers.size === 2 ? spread() : 0;
    const from = point(before);
    fingers.set(event.pointerId, event);
    moved += Math.abs(event.clientX - before.clientX) + Math.abs(event.clientY - before.clientY);
    const to = point(event);
    if (fingers.size === 2) zoom(apart / spread(), to);
    else move(from.x - to.x, from.y - to.y);
  });
  for (const end of ["pointerup", "pointercancel"]) addEventListener(end, (event) => fingers.delete(event.pointerId));

  if (byId("strength")) byId("strength").addEventListener("input", () => byId("over").setAttribute("opacity", byId("strength").value));
  if (!byId("color")) return;

  const distinct = ["#e69f00", "#56b4e9", "#2ee6a6", "#f0e442", "#ff6f4d", "#cc79a7", "#4d8dff"];
  const paths = data.objects.map((object) => {
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", object.d);
    return path;
  });
  byId("objects").append(...paths);
  const scoreColor = (score) => `hsl(${Math.round(20 + 125 * Math.max(0, Math.min(1, (score - 0.5) / 0.5)))} 95% 55%)`;
  function paint() {
    const by = byId("color").value;
    let color = (object) => scoreColor(object.score);
    let key = [0.5, 0.75, 1].map((score) => [scoreColor(score), score === 0.5 ? "score 0.5 or less" : `score ${score}`]);
    if (by !== "score") {
      const kinds = [...new Set(data.objects.map((object) => object[by]))].sort();
      const of = new Map(kinds.map((kind, i) => [kind, distinct[i % distinct.length]]));
      color = (object) => of.get(object[by]);
      key = kinds.map((kind) => [of.get(kind), `${kind || "none"}: ${data.objects.filter((object) => object[by] === kind).length}`]);
    }
    data.objects.forEach((object, i) => { paths[i].style.stroke = paths[i].style.fill = color(object); });
    byId("key").replaceChildren(...key.map(([one, words]) => {
      const item = document.createElement("li");
      const swatch = document.createElement("span");
      swatch.className = "swatch";
      swatch.style.setProperty("--c", one);
      item.append(swatch, words);
      return item;
    }));
  }

  let at = -1;
  function tell(index, follow) {
    if (paths[at]) paths[at].classList.remove("lit");
    at = index;
    const object = data.objects[at];
    byId("about").replaceChildren();
    if (!object) return;
    paths[at].classList.add("lit");
    const rows = [["id", object.id], ["class", object.class], ["score", object.score.toFixed(3)], ["area", `${object.area.toFixed(1)} m²`],
      ["sensors", object.sensors || "none"], ["cut off at the border", object.cut ? "yes" : "no"]];
    byId("about").append(...rows.map(([name, value]) => {
      const row = document.createElement("tr");
      row.append(Object.assign(document.createElement("th"), {scope: "row", textContent: name}), Object.assign(document.createElement("td"), {textContent: value}));
      return row;
    }));
    if (follow) {
      const box = paths[at].getBBox();
      move(box.x + box.width / 2 - view.x - view.width / 2, box.y + box.height / 2 - view.y - view.height / 2);
    }
  }
  map.addEventListener("click", (event) => { if (moved < 5) tell(paths.indexOf(event.target), false); });
  const turn = (step) => { if (paths.length) tell((at + step + paths.length) % paths.length, true); };
  byId("next").addEventListener("click", () => turn(1));
  byId("previous").addEventListener("click", () => turn(at < 0 ? 0 : -1));
  byId("color").addEventListener("change", paint);
  paint();
})();
