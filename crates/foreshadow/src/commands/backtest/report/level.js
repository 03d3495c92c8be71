// Draws the level chart for any stretch of time: wheel zooms, dragging moves, buttons choose.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("level-data").textContent);
  const box = document.getElementById("level");
  const shown = document.getElementById("shown");
  const count = data.target.length;
  const size = { width: 880, height: 360, left: 64, right: 16, top: 14, bottom: 44 };
  const across = size.width - size.left - size.right;
  const up = size.height - size.top - size.bottom;
  const least = Math.min(count, 20);
  let from = 0;
  let to = count;

  const highest = (list, first, last) => {
    let most = 0;
    for (let at = first; at < last; at++) most = Math.max(most, list[at]);
    return most;
  };
  const fewest = (list, first, last) => {
    let least = Infinity;
    for (let at = first; at < last; at++) least = Math.min(least, list[at]);
    return least;
  };
  const total = (list, first, last) => {
    let sum = 0;
    for (let at = first; at < last; at++) sum += list[at];
    return sum;
  };

  // What is in view, in at most as many parts as the chart is wide.
  const parts = () => {
    const width = Math.max(1, Math.floor((to - from) / across));
    const list = [];
    for (let first = from; first < to; first += width) {
      const last = Math.min(to, first + width);
      list.push({
        at: (first + last) / 2,
        target: highest(data.target, first, last),
        ready: fewest(data.ready, first, last),
        demand: highest(data.demand, first, last),
        waits: total(data.waits, first, last),
      });
    }
    return list;
  };

  const x = (at) => size.left + (across * (at - from)) / (to - from);
  const time = (at) => new Date(data.start_ms + at * data.step_ms).toISOString();
  const label = (at, span) => {
    const text = time(at);
    return span > 4 * 864e5 ? text.slice(0, 10) : text.slice(5, 16).replace("T", " ");
  };

  const grid = (high) => {
    const span = (to - from) * data.step_ms;
    let svg = "";
    for (let step = 0; step <= 5; step++) {
      const at = from + ((to - from) * step) / 5;
      const anchor = step === 0 ? "start" : step === 5 ? "end" : "middle";
      svg += `<line x1="${x(at)}" x2="${x(at)}" y1="${size.top}" y2="${size.top + up}"/>`;
      svg += `<text x="${x(at)}" y="${size.top + up + 18}" text-anchor="${anchor}">${label(at, span)}</text>`;
    }
    const rough = high / 5;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = Math.max(1, [1, 2, 5, 10].find((factor) => factor * power >= rough) * power);
    for (let value = 0; value <= high; value += step) {
      const y = size.top + up - (up * value) / high;
      svg += `<line x1="${size.left}" x2="${size.width - size.right}" y1="${y}" y2="${y}"/>`;
      svg += `<text x="${size.left - 8}" y="${y + 4}" text-anchor="end">${value}</text>`;
    }
    return `<g class="grid">${svg}</g>`;
  };

  const draw = () => {
    const list = parts();
    const high = Math.max(1, ...list.map((part) => Math.max(part.target, part.demand))) * 1.1;
    const line = (name) => {
      const points = list
        .map((part) => `${x(part.at).toFixed(1)},${(size.top + up - (up * part[name]) / high).toFixed(1)}`)
        .join(" ");
      return `<g class="line ${name}"><polyline points="${points}"/></g>`;
    };
    const most = Math.max(1, ...list.map((part) => part.waits));
    const bars = list
      .filter((part) => part.waits > 0)
      .map((part) => {
        const height = 3 + (27 * part.waits) / most;
        return `<rect x="${x(part.at) - 1}" width="2" y="${size.top + up - height}" height="${height}"/>`;
      })
      .join("");
    box.innerHTML =
      `<svg viewBox="0 0 ${size.width} ${size.height}" role="img" aria-label="Level and demand over time">` +
      grid(high) +
      `<g class="waits">${bars}</g>` +
      line("demand") + line("ready") + line("target") +
      "</svg>";
    const waits = total(data.waits, from, to);
    shown.textContent = `${time(from).slice(0, 16)}Z to ${time(to).slice(0, 16)}Z, ${waits} requests waited`;
  };

  const show = (first, length) => {
    const wanted = Math.max(least, Math.min(count, Math.round(length)));
    from = Math.max(0, Math.min(count - wanted, Math.round(first)));
    to = from + wanted;
    draw();
  };

  const share = (event) => {
    const frame = box.getBoundingClientRect();
    const at = ((event.clientX - frame.left) / frame.width) * size.width;
    return Math.max(0, Math.min(1, (at - size.left) / across));
  };
  box.addEventListener("wheel", (event) => {
    event.preventDefault();
    const length = (to - from) * (event.deltaY > 0 ? 1.25 : 0.8);
    show(from + share(event) * (to - from - length), length);
  }, { passive: false });
  box.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    const start = { share: share(event), from };
    const move = (event) => show(start.from + (start.share - share(event)) * (to - from), to - from);
    const end = () => {
      window.removeEventListener("pointermove", move);
      window.removeEventListener("pointerup", end);
    };
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", end);
  });
  box.addEventListener("dblclick", () => show(0, count));

  const day = 864e5 / data.step_ms;
  const centre = () => (from + to) / 2;
  const around = (length) => show(centre() - length / 2, length);
  const buttons = [
    ["whole window", () => show(0, count)],
    ["week", () => around(7 * day)],
    ["busiest day", () => show(data.busiest_day * day, day)],
    ["6 hours", () => around(day / 4)],
    ["zoom in", () => around((to - from) / 2)],
    ["zoom out", () => around((to - from) * 2)],
    ["earlier", () => show(from - (to - from) / 2, to - from)],
    ["later", () => show(from + (to - from) / 2, to - from)],
  ];
  const bar = document.getElementById("zoom");
  for (const [name, action] of buttons) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", action);
    bar.append(button, " ");
  }
  bar.hidden = false;
  if (location.hash === "#busiest-day") show(data.busiest_day * day, day);
  else draw();
})();
