"use strict";

// The playground: what is drawn goes through `contractive`, the numbers of `model.js`, and onto the canvases.
(() => {
  const source = document.getElementById("play");
  if (source === null) return;
  const play = JSON.parse(source.textContent);
  const model = contractive.readModel(play.model, document.getElementById("weights").textContent);
  const rows = contractive.readFloats(document.getElementById("example-rows").textContent);
  const find = (id) => document.getElementById(id);
  const shape = play.shape; // height, width and 3 for colours, or null
  const { low, high } = play;
  const FRAME = 8; // milliseconds of a frame that the rows of a deep Jacobian may take
  const MOST_STEPS = 400; // of the search for tangents at one input: where some are nearly equal it may never end

  const example = (number) => Float64Array.from(
    rows.subarray(number * model.nFeatures, (number + 1) * model.nFeatures));
  const blank = () => (shape ? new Float64Array(model.nFeatures).fill(low) : Float64Array.from(play.mean));

  let x = play.n_examples ? example(0) : blank();
  let solver = contractive.tangentSolver(model, play.n_tangents);
  let answer = null; // of the present x: code, slopes, reconstruction, error
  let tangents = [];
  let square = { sum: 0, row: 0 }; // of a deep Jacobian, so far
  let isChanged = true; // whether x was since `answer`
  let isSettled = false; // whether the tangents are those of x
  let steps = 0; // of the search since x was changed
  let isAsked = false;
  const frames = []; // milliseconds that the last frames took

  function ask() {
    if (isAsked) return;
    isAsked = true;
    requestAnimationFrame(frame);
  }

  function change() {
    isChanged = true;
    ask();
  }

  function frame() {
    isAsked = false;
    const start = performance.now();
    if (isChanged) {
      answer = contractive.forward(model, x);
      square = { sum: 0, row: 0 };
      steps = 0;
      isChanged = isSettled = false;
      showAnswer();
    }
    if (!isSettled) {
      const step = solver.refine(answer.slopes);
      tangents = contractive.tangentsOf(model, answer.slopes, step.left);
      isSettled = step.isConverged || ++steps >= MOST_STEPS;
      showTangents();
    }
    showNorm(start);
    showWalks();
    frames.push(performance.now() - start);
    if (frames.length > 240) frames.shift();
    find("time").textContent = `${frames[frames.length - 1].toFixed(1)} ms`;
    if (!isSettled || find("norm").dataset.partial) ask();
  }

  // Numbers and words.

  const words = (value) => (Math.abs(value) >= 1e5 || (value !== 0 && Math.abs(value) < 1e-3)
    ? value.toExponential(3) : String(Number(value.toPrecision(4))));

  function show(element, value) {
    element.textContent = words(value);
    element.dataset.exact = String(value);
  }

  function showAnswer() {
    show(find("error"), answer.error);
    const most = answer.code.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
    const active = answer.code.filter((value) => Math.abs(value) > 0.1 * most).length;
    find("active").textContent = `${active} of ${answer.code.length}`;
    paintRow(find("input"), x);
    if (shape) paintCursor();
    else showValues();
    paintRow(find("output"), answer.reconstruction, x);
    paintCode(answer.code);
  }

  // Of one layer at once; of several the sum over J's rows, a part of them each frame.
  function showNorm(start) {
    const element = find("norm");
    const exact = contractive.jacobianNorm(model, answer.slopes);
    if (exact !== null) {
      show(element, exact);
      return;
    }
    while (square.row < model.nHidden && performance.now() - start < FRAME) {
      const next = Math.min(square.row + 6, model.nHidden);
      square = { sum: square.sum + contractive.jacobianSquare(model, answer.slopes, square.row, next), row: next };
    }
    if (square.row < model.nHidden) element.dataset.partial = "yes";
    else {
      delete element.dataset.partial;
      show(element, Math.sqrt(square.sum));
    }
  }

  function showTangents() {
    const items = [...find("tangents").children];
    items.forEach((item, number) => {
      const tangent = tangents[number] ?? { vector: new Float64Array(model.nFeatures), value: 0 };
      item.querySelector(".sigma").textContent = String(Number(tangent.value.toPrecision(3)));
      item.querySelector(".sigma").dataset.exact = String(tangent.value);
      if (!shape) item.querySelector(".strongest").textContent = strongest(tangent.vector);
      paintSigned(item.querySelector(".tangent"), tangent.vector);
    });
    find("settling").textContent = isSettled ? "" : "Still settling …";
    find("tangents").dataset.settled = String(isSettled);
  }

  // The features that change most along a direction.
  function strongest(vector) {
    const order = Array.from(vector.keys()).sort((i, j) => Math.abs(vector[j]) - Math.abs(vector[i]));
    const parts = order.slice(0, 3).filter((j) => vector[j] !== 0);
    return parts.map((j) => `${play.names[j]} ${vector[j] > 0 ? "+" : "−"}${Math.abs(vector[j]).toFixed(2)}`).join(", ");
  }

  function showWalks() {
    [...find("tangents").children].forEach((item, number) => {
      const walk = item.querySelector(".walk");
      const t = play.reach * Number(walk.value) / 100;
      const { vector } = tangents[number] ?? { vector: null };
      item.querySelector(".steps").textContent = words(t);
      walk.setAttribute("aria-valuetext", words(t));
      const there = t === 0 || vector === null
        ? answer.reconstruction : contractive.reconstruct(model, x.map((value, j) => value + t * vector[j]));
      paintRow(item.querySelector(".moved"), there, answer.reconstruction);
    });
  }

  function showValues() {
    for (const element of document.querySelectorAll("[data-value]")) {
      element.textContent = words(x[element.dataset.value]);
    }
    for (const element of document.querySelectorAll("[data-given]")) {
      element.textContent = words(answer.reconstruction[element.dataset.given]);
    }
    for (const slider of document.querySelectorAll("input.value")) {
      if (slider !== document.activeElement) slider.value = x[slider.dataset.feature];
    }
  }

  // Pictures.

  const grey = (value) => [value, value, value];
  // Blue for less, white for the same, red for more; as `diverging_palette`.
  const COLD = [33, 102, 172], NEUTRAL = [247, 247, 247], WARM = [178, 24, 43];
  const diverging = (value) => NEUTRAL.map((level, c) => level + Math.abs(value) * ((value < 0 ? COLD : WARM)[c] - level));

  function paintPixels(canvas, colour) {
    const [height, width] = shape;
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext("2d");
    const image = context.createImageData(width, height);
    for (let pixel = 0; pixel < width * height; pixel++) {
      const levels = colour(pixel);
      for (let c = 0; c < 3; c++) image.data[4 * pixel + c] = levels[c];
      image.data[4 * pixel + 3] = 255;
    }
    context.putImageData(image, 0, 0);
  }

  function paintRow(canvas, row, beside) {
    if (!shape) return paintProfile(canvas, [[beside, "--faint"], [row, "--accent"]], play.profile_low, play.profile_high);
    const level = (value) => 255 * (value - low) / ((high - low) || 1);
    return paintPixels(canvas, shape.length === 3
      ? (pixel) => [0, 1, 2].map((c) => level(row[3 * pixel + c])) : (pixel) => grey(level(row[pixel])));
  }

  function paintSigned(canvas, row) {
    const most = row.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0) || 1;
    if (!shape) return paintProfile(canvas, [[row, "--warm"]], -most, most);
    return paintPixels(canvas, shape.length === 3
      ? (pixel) => [0, 1, 2].map((c) => 127.5 * (1 + row[3 * pixel + c] / most))
      : (pixel) => diverging(row[pixel] / most));
  }

  // The style sheet's colours as a canvas takes them, for the present theme.
  const NAMES = ["--accent", "--faint", "--warm", "--cold", "--rule"];
  let colours = {};

  function readColours() {
    const probe = document.body.appendChild(document.createElement("i"));
    colours = Object.fromEntries(NAMES.map((name) => {
      probe.style.color = `var(${name})`;
      return [name, getComputedStyle(probe).color];
    }));
    probe.remove();
  }

  // A canvas as fine as the screen; its size on the page is the style sheet's.
  function prepare(canvas) {
    const ratio = devicePixelRatio || 1;
    const width = Math.round((canvas.clientWidth || 240) * ratio), height = Math.round((canvas.clientHeight || 160) * ratio);
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, width, height);
    return { context, width, height, ratio };
  }

  // The scale stays as it is while the curves keep to it, and widens for those that do not.
  function paintProfile(canvas, curves, bottom, top) {
    for (const [row] of curves) {
      for (const value of row || []) [bottom, top] = [Math.min(bottom, value), Math.max(top, value)];
    }
    const { context, width, height, ratio } = prepare(canvas);
    const margin = 4 * ratio;
    const down = (value) => height - margin - (height - 2 * margin) * (value - bottom) / ((top - bottom) || 1);
    context.lineWidth = ratio;
    context.strokeStyle = colours["--rule"];
    context.beginPath();
    context.moveTo(0, down(0));
    context.lineTo(width, down(0));
    context.stroke();
    for (const [row, name] of curves) {
      if (!row) continue;
      context.strokeStyle = context.fillStyle = colours[name];
      context.lineWidth = 1.75 * ratio;
      context.beginPath();
      for (let j = 0; j < row.length; j++) {
        const across = margin + (width - 2 * margin) * (row.length > 1 ? j / (row.length - 1) : 0.5);
        context.lineTo(across, down(row[j]));
        if (row.length <= 40) context.fillRect(across - 2 * ratio, down(row[j]) - 2 * ratio, 4 * ratio, 4 * ratio);
      }
      context.stroke();
    }
  }

  // One bar a unit, in lines one below the other where there are many.
  function paintCode(code) {
    const { context, width, height } = prepare(find("code"));
    const lines = Math.ceil(code.length / Math.min(code.length, 125));
    const across = Math.ceil(code.length / lines);
    const most = code.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0) || 1;
    const isSigned = code.some((value) => value < 0);
    const [step, band] = [width / across, height / lines];
    code.forEach((value, unit) => {
      const base = band * (Math.floor(unit / across) + (isSigned ? 0.5 : 1)) - 1;
      const length = (value / most) * (band - 3) * (isSigned ? 0.5 : 1);
      context.fillStyle = colours[value < 0 ? "--cold" : "--accent"];
      context.fillRect(step * (unit % across), base - Math.max(length, 0), Math.max(step * 0.8, 1), Math.max(Math.abs(length), 0.5));
    });
  }

  // Drawing.

  const cursor = { row: 0, column: 0 };

  function paintCursor() {
    const canvas = find("input");
    if (document.activeElement !== canvas || !canvas.matches(":focus-visible")) return;
    const context = canvas.getContext("2d");
    context.fillStyle = "rgb(255 140 0 / 75%)";
    context.fillRect(cursor.column, cursor.row, 1, 1);
  }

  function ink(isErasing) {
    if (isErasing) return [low, low, low];
    const picker = find("ink");
    if (picker === null) return [high];
    return [1, 3, 5].map((at) => low + (high - low) * parseInt(picker.value.slice(at, at + 2), 16) / 255);
  }

  // A soft brush, three pixels wide.
  function dab(row, column, isErasing) {
    const [height, width, channels = 1] = shape;
    const levels = ink(isErasing);
    for (let i = Math.floor(row) - 1; i <= Math.floor(row) + 1; i++) {
      for (let j = Math.floor(column) - 1; j <= Math.floor(column) + 1; j++) {
        if (i < 0 || j < 0 || i >= height || j >= width) continue;
        const strength = Math.max(0, Math.min(1, 1.6 - Math.hypot(i + 0.5 - row, j + 0.5 - column)));
        for (let c = 0; c < channels; c++) {
          const at = (i * width + j) * channels + c;
          x[at] += strength * (levels[c] - x[at]);
        }
      }
    }
    change();
  }

  function prepareDrawing() {
    const canvas = find("input");
    const [height, width] = shape;
    [cursor.row, cursor.column] = [height >> 1, width >> 1];
    let last = null;

    const place = (event) => {
      const box = canvas.getBoundingClientRect();
      return [(event.clientY - box.top) / box.height * height, (event.clientX - box.left) / box.width * width];
    };
    const stroke = (event) => {
      const [row, column] = place(event);
      const steps = Math.max(1, Math.ceil(Math.hypot(row - last[0], column - last[1]) * 2));
      const isErasing = find("eraser").getAttribute("aria-pressed") === "true" || event.buttons === 32;
      for (let step = 1; step <= steps; step++) {
        const share = step / steps;
        dab(last[0] + share * (row - last[0]), last[1] + share * (column - last[1]), isErasing);
      }
      last = [row, column];
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 && event.button !== 5) return;
      canvas.setPointerCapture(event.pointerId);
      last = place(event);
      stroke(event);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (last !== null) for (const part of event.getCoalescedEvents?.() ?? [event]) stroke(part);
    });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { last = null; });
    for (const name of ["focus", "blur"]) canvas.addEventListener(name, change);
    canvas.addEventListener("keydown", (event) => {
      const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
      const isMove = event.key in moves, isErasing = event.key === "Delete" || event.key === "Backspace";
      if (!isMove && !isErasing && event.key !== " ") return;
      event.preventDefault();
      if (isMove) {
        cursor.row = Math.min(Math.max(cursor.row + moves[event.key][0], 0), height - 1);
        cursor.column = Math.min(Math.max(cursor.column + moves[event.key][1], 0), width - 1);
      }
      if (!isMove || event.shiftKey) dab(cursor.row + 0.5, cursor.column + 0.5, isErasing);
      change();
    });
    const [pen, eraser] = [find("pen"), find("eraser")];
    for (const tool of [pen, eraser]) {
      tool.addEventListener("click", () => {
        for (const other of [pen, eraser]) other.setAttribute("aria-pressed", String(other === tool));
      });
    }
  }

  // The start.

  function goHome() {
    for (const walk of document.querySelectorAll("input.walk")) walk.value = 0;
    ask();
  }

  for (const button of document.querySelectorAll("button.example")) {
    button.addEventListener("click", () => {
      x = button.dataset.example === "blank" ? blank() : example(Number(button.dataset.example));
      goHome();
      change();
    });
  }
  for (const slider of document.querySelectorAll("input.value")) {
    slider.addEventListener("input", () => {
      x[slider.dataset.feature] = Number(slider.value);
      change();
    });
  }
  for (const walk of document.querySelectorAll("input.walk")) walk.addEventListener("input", ask);
  find("home").addEventListener("click", goHome);
  if (shape) prepareDrawing();
  document.addEventListener("themechange", () => {
    readColours();
    change();
  });
  readColours();
  addEventListener("resize", change);
  const state = () => ({ x: Array.from(x), code: Array.from(answer.code), error: answer.error, isSettled,
    reconstruction: Array.from(answer.reconstruction),
    tangents: tangents.map(({ vector, value }) => ({ vector: Array.from(vector), value })) });
  contractive.playground = { frames, model, state };
  // After the page is shown, as the products of all pairs of filters take a moment.
  setTimeout(() => {
    contractive.gramMatrix(model);
    ask();
  }, 0);
})();
