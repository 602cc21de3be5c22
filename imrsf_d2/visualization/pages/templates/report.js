"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const boxes = [...document.querySelectorAll("#sensors input")];
  const title = (label) => label.split("+").map((name) => name.toUpperCase()).join(" + ");
  const score = (percent) => (percent === null || percent === undefined ? "n/a" : (percent / 100).toFixed(3).replace(/^-(0\.0+)$/, "$1"));
  const signed = (percent) => (percent < -0.05 ? "−" : percent > 0.05 ? "+" : "±") + (Math.abs(percent) / 100).toFixed(3);
  const percent = (part) => `${Math.round(100 * part)}%`;
  const known = (value) => value !== null && value !== undefined;

  // HTML and SVG elements; text is always set as text.
  function make(tag, attributes = {}, ...children) {
    const svg = ["svg", "path", "rect", "image", "line", "g", "title"].includes(tag);
    const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children.filter((child) => child !== null));
    return element;
  }

  const chosen = () => boxes.filter((box) => box.checked).map((box) => box.value);
  const sensorColor = (name) => getComputedStyle(boxes.find((box) => box.value === name).closest(".chip")).getPropertyValue("--c").trim();
  const colors = Object.fromEntries(data.sensors.map((name) => [name, sensorColor(name)]));
  const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  const swatch = (color) => make("span", {class: "swatch", style: `--c: ${color}`});
  const complete = data.subsets[data.complete];

  // What is lost of a tile's or a class's score without each sensor.
  function losses(scores) {
    const all = scores[data.complete];
    const found = {};
    for (const name of data.sensors) {
      const rest = scores[data.sensors.filter((other) => other !== name).join("+")];
      if (known(all) && known(rest)) found[name] = all - rest;
    }
    return found;
  }
  function mostNeeded(scores) {
    const found = Object.entries(losses(scores)).sort((a, b) => b[1] - a[1]);
    return found.length && found[0][1] >= 1 ? found[0] : null;
  }

  // The score of the chosen sensors.
  function showScore(label) {
    const subset = data.subsets[label];
    const value = label === "" ? data.blind : subset ? subset.score.value : null;
    byId("now").hidden = false;
    byId("missing").hidden = label === "" || Boolean(subset);
    byId("score").textContent = label === "" || subset ? score(value) : "not evaluated";
    const {low, high} = subset ? subset.score : {low: null, high: null};
    byId("interval").textContent = label === "" ? data.blindWords : known(low) ? `${data.level} interval ${score(low)} to ${score(high)}` : known(value) ? data.noInterval : "";
    const distance = byId("distance");
    distance.className = "distance";
    distance.textContent = byId("retention").textContent = "";
    if (complete && known(complete.score.value) && known(value)) {
      const difference = value - complete.score.value;
      if (label === data.complete) {
        distance.textContent = "complete input";
      } else {
        distance.textContent = signed(difference);
        distance.classList.add(difference < -0.05 ? "drop" : "gain");
        const kept = subset && complete.score.value > 0 ? subset.retention : null;
        const range = kept && known(kept.low) && known(kept.high) ? ` (${percent(kept.low)} to ${percent(kept.high)})` : "";
        byId("retention").textContent = `from complete input${kept && known(kept.value) ? `, ${percent(kept.value)} kept${range}` : ""}`;
      }
    }
    const longest = Math.max(1, ...Object.values(data.subsets).map((other) => other.score.value || 0));
    byId("meter").style.width = `${known(value) ? Math.max(0, (100 * value) / longest) : 0}%`;
    const words = label === "" ? "No sensor" : title(label);
    byId("spoken").textContent = known(value) || label === "" || subset
      ? `${words}: ${data.metric} ${byId("score").textContent}, ${byId("interval").textContent} ${distance.textContent} ${byId("retention").textContent}`
      : `${words}: not evaluated`;
    const covered = byId("covered");
    covered.hidden = !subset || subset.images === data.images;
    if (!covered.hidden) {
      covered.textContent = `${subset.images} of ${data.images} tiles have data of these sensors; on those alone the ${data.metric} is ${score(subset.covered.value)}.`;
    }
    for (const bar of document.querySelectorAll("#bars button")) bar.setAttribute("aria-pressed", String(bar.dataset.subset === label));
  }

  function showClasses(label) {
    byId("byclass").hidden = !data.classes.length;
    const subset = data.subsets[label];
    byId("class-metric").textContent = data.classMetric;
    byId("class-rows").replaceChildren(...data.classes.map((name, row) => {
      const now = subset ? subset.classes[name] : null;
      const all = complete ? complete.classes[name] : null;
      const need = mostNeeded(Object.fromEntries(Object.entries(data.subsets).map(([key, other]) => [key, other.classes[name]])));
      const bar = make("svg", {class: "bar", viewBox: "0 0 100 18", preserveAspectRatio: "none", "aria-hidden": "true"},
        make("rect", {class: "ground", x: 0, y: 3, width: 100, height: 12}),
        make("rect", {class: "length", x: 0, y: 3, width: known(now) ? now : 0, height: 12}));
      const color = data.names.indexOf(name);
      const cell = make("th", {scope: "row"}, color >= 0 ? swatch(`rgb(${data.palette[color]})`) : "", " ", name);
      const change = known(now) && known(all) ? signed(now - all) : "";
      return make("tr", {"data-class": row}, cell, make("td", {}, score(now)), make("td", {style: "width: 30%"}, bar), make("td", {}, score(all)),
        make("td", {class: change.startsWith("−") ? "drop" : ""}, change),
        make("td", {}, ...(need ? [swatch(colors[need[0]]), ` ${need[0].toUpperCase()} (${signed(-need[1])})`] : [known(all) ? "none alone" : ""])));
    }));
  }

  // The gray values of an embedded image, read once.
  const decoded = new Map();
  function grays(url) {
    if (!decoded.has(url)) {
      decoded.set(url, new Promise((resolve, reject) => {
        const image = new Image();
        image.onload = () => {
          const canvas = make("canvas", {width: image.naturalWidth, height: image.naturalHeight});
          const context = canvas.getContext("2d", {willReadFrequently: true});
          context.drawImage(image, 0, 0);
          const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
          const at = new Uint8Array(pixels.length / 4);
          for (let i = 0; i < at.length; i++) at[i] = pixels[4 * i];
          resolve({width: canvas.width, height: canvas.height, at});
        };
        image.onerror = reject;
        image.src = url;
      }));
    }
    return decoded.get(url);
  }
  // Colors as canvases hold them, four bytes in one number.
  const packed = ([red, green, blue]) => new Uint32Array(Uint8Array.of(red, green, blue, 255).buffer)[0];
  const palette = data.palette.map(packed);
  function paint(canvas, width, height, color) {
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d");
    const pixels = context.createImageData(width, height);
    const whole = new Uint32Array(pixels.data.buffer);
    for (let i = 0; i < whole.length; i++) whole[i] = color(i);
    context.putImageData(pixels, 0, 0);
  }

  const tip = byId("tip");
  function showTip(text, x, y) {
    tip.textContent = text;
    tip.hidden = !text;
    const {width, height} = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - width - 4))}px`;
    tip.style.top = `${y + 18 + height > innerHeight ? y - height - 10 : y + 18}px`;
  }
  const hideTip = () => { tip.hidden = true; };
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hideTip(); });
  addEventListener("scroll", hideTip, {passive: true});

  const least = () => (byId("least") ? Number(byId("least").value) : 0);

  class Card {
    constructor(tile) {
      this.tile = tile;
      this.own = make("span", {class: "own"});
      this.need = make("div", {class: "need"});
      this.inputs = make("div", {class: "inputs"});
      this.answers = {truth: this.answer("ground truth"), prediction: this.answer("prediction")};
      const inputs = data.sensors.map((name) => {
        const panel = make("div", {class: "panel hatched", style: `aspect-ratio: ${tile.width} / ${tile.height}`});
        this.inputs.append(make("figure", {}, panel, make("figcaption", {}, name.toUpperCase())));
        return [name, panel];
      });
      this.panels = Object.fromEntries(inputs);
      const need = mostNeeded(tile.scores);
      this.need.append(...(need
        ? [swatch(colors[need[0]]), `${need[0].toUpperCase()} matters most here: ${signed(-need[1])} without it`]
        : [make("span", {class: "soft"}, Object.keys(losses(tile.scores)).length ? "no single sensor matters here" : "")]));
      this.element = make("article", {class: "tile card", "aria-label": `tile ${tile.name}`},
        make("header", {}, make("h3", {}, tile.name), this.own, this.need),
        make("div", {class: "answers"}, this.answers.truth.figure, this.answers.prediction.figure), this.inputs);
    }

    answer(name) {
      const panel = make("div", {class: "panel hatched", style: `aspect-ratio: ${this.tile.width} / ${this.tile.height}`, tabindex: 0, role: "img"});
      const caption = make("figcaption");
      const answer = {name, panel, caption, figure: make("figure", {}, panel, caption), at: null};
      panel.addEventListener("pointermove", (event) => this.point(answer, event));
      panel.addEventListener("pointerdown", (event) => this.point(answer, event));
      panel.addEventListener("pointerleave", () => { this.light(answer, null); hideTip(); });
      panel.addEventListener("blur", () => { this.light(answer, null); hideTip(); });
      panel.addEventListener("keydown", (event) => this.key(answer, event));
      return answer;
    }

    // The chosen subset, less what this tile does not have, is what the model saw.
    show(label) {
      const {tile} = this;
      this.label = label;
      const subset = label ? label.split("+") : [];
      for (const [name, panel] of Object.entries(this.panels)) {
        const url = tile.sensors[name];
        const given = url && subset.includes(name);
        panel.replaceChildren(given ? make("img", {src: url, alt: `${name.toUpperCase()} of tile ${tile.name}`})
          : make("div", {class: "word"}, make("span", {}, url ? "off" : "no data")));
        panel.dataset.state = given ? "on" : url ? "off" : "absent";
      }
      this.backdrop = tile.backdrops.find((name) => subset.includes(name));
      const prediction = tile.predictions[label];
      const value = tile.scores[label];
      const all = tile.scores[data.complete];
      this.own.textContent = !known(value) ? "" : `${data.metric} ${score(value)}` + (label !== data.complete && known(all) ? ` (${signed(value - all)})` : "");
      this.draw(this.answers.truth, tile.truth, tile.backdrops[0], null);
      const reason = !subset.length ? "no sensor" : !data.subsets[label] ? "not evaluated" : "no data of these sensors";
      this.draw(this.answers.prediction, prediction, this.backdrop, prediction ? null : reason);
    }

    draw(answer, content, backdrop, reason) {
      const {tile} = this;
      answer.at = null;
      answer.content = content;
      answer.panel.replaceChildren();
      if (reason) {
        answer.panel.append(make("div", {class: "word"}, make("span", {}, reason)));
        answer.caption.textContent = answer.name;
      } else {
        if (content.png) this.drawMap(answer, content);
        if (content.items) this.drawItems(answer, content, backdrop);
      }
      answer.panel.setAttribute("aria-label", `${answer.caption.textContent || answer.name}${reason ? `: ${reason}` : ""}`);
      const listened = tile.listened[this.label];
      if (answer === this.answers.prediction && byId("beta") && byId("beta").checked && content) this.drawListened(answer, listened);
    }

    // Objects, or segments over a label map, of which those of stuff have no outline.
    drawItems(answer, content, backdrop) {
      const {tile} = this;
      const word = data.kind === "objects" ? "object" : "segment";
      if (backdrop && data.kind === "objects") answer.panel.append(make("img", {src: tile.sensors[backdrop], alt: "", class: "dim"}));
      const svg = make("svg", {viewBox: `0 0 ${tile.width} ${tile.height}`, preserveAspectRatio: "none"});
      answer.shown = [];
      const add = (item, kind) => {
        const path = make("path", {d: item.d, class: item.thing === false ? `${kind} stuff` : kind, "fill-rule": "evenodd"});
        svg.append(path);
        if (kind !== "lost") answer.shown.push({item, kind, path});
      };
      if (answer.name === "ground truth") {
        for (const item of content.items) add(item, "true");
        const counted = content.items.filter((item) => !item.crowd).length;
        answer.caption.textContent = `ground truth: ${counted} ${word}${counted === 1 ? "" : "s"}`;
      } else {
        const items = content.items.filter((item) => !known(item.s) || item.s >= least());
        const found = new Set(items.map((item) => item.m));
        const lost = tile.truth.items.filter((item, i) => !found.has(i) && !item.crowd);
        for (const item of lost) add(item, "lost");
        const kinds = items.map((item) => (!known(item.m) ? "uncounted" : item.m >= 0 ? "found" : "wrong"));
        items.forEach((item, i) => add(item, kinds[i]));
        const [right, wrong] = ["found", "wrong"].map((kind) => kinds.filter((other) => other === kind).length);
        const more = content.more ? `; ${content.more} with lower scores are not shown` : "";
        answer.caption.textContent = `prediction: ${right} right, ${wrong} wrong, ${lost.length} missed${more}`;
      }
      answer.panel.append(svg);
    }

    drawMap(answer, content) {
      const canvas = make("canvas");
      answer.panel.append(canvas);
      answer.caption.textContent = answer.name === "ground truth" ? "ground truth"
        : `prediction${known(content.right) ? `: ${percent(content.right)} of the pixels right` : ""}`;
      grays(content.png).then((map) => {
        answer.map = map;
        paint(canvas, map.width, map.height, (i) => palette[map.at[i]] || 0);
      });
    }

    drawListened(answer, listened) {
      const canvas = make("canvas", {class: "over"});
      canvas.style.opacity = byId("strength").value;
      answer.panel.insertBefore(canvas, answer.panel.querySelector("svg"));
      const names = this.label.split("+");
      if (!listened) { // one sensor alone, which the model listened to wherever there is data
        if (names.length === 1) paint(canvas, 1, 1, () => packed(rgb(colors[names[0]])));
        Object.assign(canvas.style, {width: "100%", height: "100%"});
        return;
      }
      grays(listened.png).then((image) => {
        const {rows} = listened;
        answer.beta = {names, rows, columns: image.width, at: image.at, patch: listened.patch};
        paint(canvas, image.width, rows, (i) => {
          const parts = names.map((name, m) => [rgb(colors[name]), image.at[m * rows * image.width + i]]).filter(([, w]) => w < 255);
          const sum = parts.reduce((total, [, w]) => total + w, 0) || 1;
          return parts.length ? packed([0, 1, 2].map((band) => parts.reduce((total, [color, w]) => total + (color[band] * w) / sum, 0))) : 0;
        });
        canvas.style.width = `${(100 * image.width * listened.patch) / this.tile.width}%`;
        canvas.style.height = `${(100 * rows * listened.patch) / this.tile.height}%`;
      });
    }

    light(answer, entry) {
      for (const {path} of answer.shown || []) path.classList.remove("lit");
      if (entry) entry.path.classList.add("lit");
    }

    words(answer, entry, x, y) {
      const lines = [];
      if (entry) {
        const {item, kind} = entry;
        lines.push(data.names[item.c] + (item.crowd ? " (crowd)" : ""));
        const judged = {found: "right", wrong: "wrong: no true one matches", uncounted: `not counted: ${data.kind === "objects" ? "in a crowd" : "mostly not labeled"}`}[kind];
        const said = [known(item.s) && `score ${item.s.toFixed(2)}`, judged].filter(Boolean).join(", ");
        if (said) lines.push(said);
      }
      if (answer.map) {
        const name = (map) => data.names[map.at[Math.floor(y) * map.width + Math.floor(x)]] || "not labeled";
        const truth = this.answers.truth.map;
        if (answer.name === "ground truth") {
          if (!entry) lines.push(`ground truth: ${name(answer.map)}`);
        } else {
          if (!entry) lines.push(`predicted: ${name(answer.map)}`);
          if (answer.score) {
            const {block} = answer.content;
            lines.push(`score ${(answer.score.at[Math.floor(y / block) * answer.score.width + Math.floor(x / block)] / 100).toFixed(2)}`);
          }
          if (truth) lines.push(`ground truth: ${name(truth)}`);
        }
      }
      if (answer.name === "prediction" && byId("beta") && byId("beta").checked && answer.beta && this.tile.listened[this.label]) {
        const {names, rows, columns, at, patch} = answer.beta;
        const place = Math.floor(y / patch) * columns + Math.floor(x / patch);
        const parts = names.map((name, m) => [name, at[m * rows * columns + place]]).filter(([, w]) => w < 255);
        lines.push(parts.length ? `listened to ${parts.map(([name, w]) => `${name.toUpperCase()} ${percent(w / 254)}`).join(", ")}` : "no sensor has data here");
      }
      return lines.join("\n");
    }

    place(answer, event) {
      const box = answer.panel.getBoundingClientRect();
      const inside = (value, end) => Math.max(0, Math.min(value * end, end - 1e-3));
      return [inside((event.clientX - box.left) / box.width, this.tile.width), inside((event.clientY - box.top) / box.height, this.tile.height)];
    }

    async point(answer, event) {
      if (!answer.content) return;
      const entry = (answer.shown || []).find(({path}) => path === event.target) || null;
      const {clientX, clientY} = event;
      const [x, y] = this.place(answer, event);
      await this.readScores(answer);
      this.light(answer, entry);
      showTip(this.words(answer, entry, x, y), clientX, clientY);
    }

    async readScores(answer) {
      if (answer.content.score && answer.scored !== answer.content) {
        answer.score = await grays(answer.content.score);
        answer.scored = answer.content;
      }
    }

    async key(answer, event) {
      const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
      if (!step || !answer.content) return;
      event.preventDefault();
      const box = answer.panel.getBoundingClientRect();
      let text, x, y;
      if (data.kind !== "map") {
        if (!answer.shown.length) return;
        const last = answer.shown.length;
        answer.at = answer.at === null ? (step > 0 ? 0 : last - 1) : (answer.at + step + last) % last;
        const entry = answer.shown[answer.at];
        const bounds = entry.path.getBBox();
        [x, y] = [bounds.x + bounds.width / 2, bounds.y + bounds.height / 2];
        this.light(answer, entry);
        text = this.words(answer, entry, x, y);
        byId("spoken").textContent = `${answer.at + 1} of ${last}: ${text}`;
      } else {
        const [right, down] = {ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1]}[event.key];
        const [u, v] = answer.at || [0.5, 0.5];
        const inside = (value) => Math.max(0.03, Math.min(0.97, value));
        answer.at = [inside(u + right / 16), inside(v + down / 16)];
        [x, y] = [answer.at[0] * this.tile.width, answer.at[1] * this.tile.height];
        await this.readScores(answer);
        byId("spoken").textContent = text = this.words(answer, null, x, y);
      }
      showTip(text, box.left + (x / this.tile.width) * box.width, box.top + (y / this.tile.height) * box.height);
    }
  }

  const cards = data.tiles.map((tile) => new Card(tile));

  const sorts = [
    ["any", "what any one sensor changes", (tile) => Math.max(...Object.values(losses(tile.scores)))],
    ...data.sensors.map((name) => [`without-${name}`, `what ${name.toUpperCase()} changes`, (tile) => losses(tile.scores)[name]]),
    ["low", "the lowest score with the chosen sensors", (tile) => (known(tile.scores[current()]) ? -tile.scores[current()] : NaN)],
    ["name", "name", () => 0],
  ];
  function sortCards() {
    if (!cards.length) return;
    const value = sorts.find(([key]) => key === byId("sort").value)[2];
    const ranked = cards.map((card) => [card, value(card.tile)]).map(([card, at]) => [card, Number.isFinite(at) ? at : -Infinity]);
    ranked.sort((a, b) => b[1] - a[1] || (a[0].tile.name < b[0].tile.name ? -1 : 1));
    ranked.forEach(([card], i) => { if (byId("cards").children[i] !== card.element) byId("cards").insertBefore(card.element, byId("cards").children[i] || null); });
  }

  function showKey() {
    if (!byId("key")) return;
    const line = (kind, words) => make("li", {}, make("svg", {class: "panel", viewBox: "0 0 22 12", "aria-hidden": "true"},
      make("path", {class: kind, d: "M1 1h20v10h-20z"})), words);
    const [rule, what] = data.kind === "objects" ? ["of 0.5 or more", "object"] : ["above 0.5", "segment of its class"];
    const entries = data.kind === "objects" ? [] : data.names.map((name, i) => make("li", {}, swatch(`rgb(${data.palette[i]})`), name));
    if (data.kind !== "map") {
      entries.push(line("found", `right: IoU with a true ${what} ${rule}`), line("wrong", "wrong: no such one"), line("lost", "missed"));
    }
    if (byId("beta") && byId("beta").checked) {
      entries.push(...data.sensors.map((name) => make("li", {}, swatch(colors[name]), `listened to ${name.toUpperCase()}`)));
    }
    byId("key").replaceChildren(...entries);
  }

  const current = () => chosen().join("+");
  function show() {
    const label = current();
    showScore(label);
    showClasses(label);
    for (const card of cards) card.show(label);
    if (cards.length && byId("sort").value === "low") sortCards();
    hideTip();
  }

  for (const box of boxes) box.addEventListener("change", show);
  for (const bar of document.querySelectorAll("#bars button")) {
    bar.addEventListener("click", () => {
      const wanted = bar.dataset.subset.split("+");
      for (const box of boxes) box.checked = wanted.includes(box.value);
      show();
    });
  }
  if (cards.length) {
    byId("sort").append(...sorts.map(([value, words]) => make("option", {value}, words)));
    byId("sort").addEventListener("change", sortCards);
    if (byId("least")) {
      byId("least").addEventListener("input", () => {
        byId("least-value").textContent = least().toFixed(2);
        for (const card of cards) card.show(current());
      });
    }
    if (byId("beta")) {
      byId("beta").addEventListener("change", () => {
        byId("strength").closest("label").hidden = !byId("beta").checked;
        showKey();
        for (const card of cards) card.show(current());
      });
      byId("strength").addEventListener("input", () => {
        for (const over of document.querySelectorAll("canvas.over")) over.style.opacity = byId("strength").value;
      });
    }
    showKey();
  }
  show();
  sortCards();
})();
