// The explorer: W of a small problem, each weight a square in the colour of its orbit. The one that
// is pointed at, tapped, or walked to with the arrow keys lights up with all that are the same weight.
"use strict";

(() => {
  const place = document.getElementById("explorer-place");
  const groups = JSON.parse(document.getElementById("explorer-data").textContent);
  const GAP = 0.6; // between tiles, in squares

  place.innerHTML = `
    <form class="explorer-controls">
      <label>Group <select name="group"></select></label>
      <label>from X <select name="input"></select></label>
      <label>to Y <select name="output"></select></label>
      <label><input type="checkbox" name="matrix"> as a matrix</label>
    </form>
    <p class="explorer-count"></p>
    <div class="explorer-pictures">
      <figure class="explorer-side"><figcaption>X, the input</figcaption><svg class="input"></svg></figure>
      <figure class="explorer-side"><figcaption>Y, the output</figcaption><svg class="output"></svg></figure>
      <figure class="explorer-weights"><figcaption></figcaption>
        <svg class="weights" tabindex="0" role="img"></svg></figure>
    </div>
    <p class="explorer-status" role="status"></p>`;

  const controls = place.querySelector("form");
  const pictures = ["input", "output", "weights"].map((name) => place.querySelector(`svg.${name}`));
  const [inputPicture, outputPicture, weightsPicture] = pictures;

  let problem; // {input, output, orbits}: two shapes, and ±j of each entry of vec(W)
  let squares; // of W, in the order of vec(W): {square, row, column}
  let chosen = 0;

  const grid = (shape) => (shape.length === 2 ? shape : [1, shape[0] ?? 1]);
  const size = (shape) => grid(shape)[0] * grid(shape)[1];

  function options(select, values, value, text = (each) => each) {
    select.replaceChildren(...values.map((each) => new Option(text(each), each, false, each === value)));
  }

  // Squares at (x, y) in units of one, in a picture of their size.
  function draw(picture, points, width, height) {
    picture.setAttribute("viewBox", `-0.1 -0.1 ${width + 0.2} ${height + 0.2}`);
    picture.parentElement.style.setProperty("--columns", width);
    const made = points.map(([x, y]) => {
      const square = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      for (const [name, value] of Object.entries({ x: x + 0.04, y: y + 0.04, width: 0.92, height: 0.92 }))
        square.setAttribute(name, value);
      return square;
    });
    picture.replaceChildren(...made);
    return made;
  }

  function drawSide(picture, shape) {
    const [rows, columns] = grid(shape);
    const points = Array.from({ length: rows * columns }, (_, p) => [p % columns, Math.floor(p / columns)]);
    return draw(picture, points, columns, rows);
  }

  // Tile o holds the weights of output pixel o, as the pixels of the input lie.
  function drawWeights() {
    const asMatrix = controls.elements.matrix.checked;
    const [outputRows, outputColumns] = asMatrix ? [size(problem.output), 1] : grid(problem.output);
    const [inputRows, inputColumns] = asMatrix ? [1, size(problem.input)] : grid(problem.input);
    const inputs = inputRows * inputColumns;
    const gap = asMatrix ? 0 : GAP;
    const places = problem.orbits.map((_, entry) => {
      const [o, i] = [Math.floor(entry / inputs), entry % inputs];
      const [down, right] = [Math.floor(o / outputColumns), o % outputColumns];
      const [row, column] = [Math.floor(i / inputColumns), i % inputColumns];
      return { down, right, row: down * inputRows + row, column: right * inputColumns + column };
    });
    const points = places.map((at) => [at.column + gap * at.right, at.row + gap * at.down]);
    const width = outputColumns * inputColumns + gap * (outputColumns - 1);
    const height = outputRows * inputRows + gap * (outputRows - 1);
    const made = draw(weightsPicture, points, width, height);
    squares = places.map((at, entry) => ({ ...at, square: made[entry] }));
    made.forEach((square, entry) => {
      const orbit = problem.orbits[entry];
      square.dataset.entry = entry;
      square.dataset.orbit = Math.abs(orbit);
      square.style.setProperty("--hue", (137.508 * Math.abs(orbit)) % 360);
      square.classList.toggle("minus", orbit < 0);
      square.classList.toggle("zero", orbit === 0);
    });
    place.querySelector(".explorer-weights figcaption").textContent = asMatrix
      ? "W, a row for each output pixel, a column for each input pixel"
      : "W, a tile for each output pixel: what it takes of each input pixel";
  }

  function choose(entry) {
    chosen = entry;
    const inputs = size(problem.input);
    const [o, i] = [Math.floor(entry / inputs), entry % inputs];
    const orbit = problem.orbits[entry];
    const alike = problem.orbits.flatMap((each, at) =>
      at === entry || (orbit && Math.abs(each) === Math.abs(orbit)) ? [at] : []);
    const hue = squares[entry].square.style.getPropertyValue("--hue");
    const mark = (made, lit, at) => made.forEach((square, p) => {
      square.style.setProperty("--hue", hue);
      square.classList.toggle("lit", lit.has(p));
      square.classList.toggle("chosen", p === at);
    });
    mark([...inputPicture.children], new Set(alike.map((each) => each % inputs)), i);
    mark([...outputPicture.children], new Set(alike.map((each) => Math.floor(each / inputs))), o);
    const lit = new Set(alike);
    squares.forEach(({ square }, at) => {
      square.classList.toggle("lit", lit.has(at));
      square.classList.toggle("chosen", at === entry);
    });
    const name = (shape, p) => shape.length === 2
      ? `(${Math.floor(p / shape[1])}, ${p % shape[1]})` : shape.length ? `${p}` : "the number";
    place.querySelector(".explorer-status").textContent =
      `The weight from ${name(problem.input, i)} to ${name(problem.output, o)}` + (orbit
        ? `: one of the ${alike.length} that are weight ${Math.abs(orbit)}`
          + (alike.some((at) => problem.orbits[at] !== orbit) ? ", up to the sign (darker: minus)." : ".")
        : " is 0: the group takes it to its own negative.");
  }

  function update(first) {
    const { elements } = controls;
    const group = groups.find((each) => each.group === elements.group.value);
    const kept = (name, at) =>
      !first && group.spaces.includes(elements[name].value) ? elements[name].value : group.first[at];
    options(elements.input, group.spaces, kept("input", 0));
    options(elements.output, group.spaces, kept("output", 1));
    problem = group.problems[`${elements.input.value} → ${elements.output.value}`];
    const free = new Set(problem.orbits.map(Math.abs));
    free.delete(0);
    const weights = problem.orbits.length;
    place.querySelector(".explorer-count").textContent =
      `${group.group}: ${group.does}. Of ${weights.toLocaleString("en")} weights, ${free.size.toLocaleString("en")} `
      + `${free.size === 1 ? "is" : "are"} free.`;
    drawSide(inputPicture, problem.input);
    drawSide(outputPicture, problem.output);
    drawWeights();
    weightsPicture.setAttribute("aria-label",
      `The ${weights} weights of W, coloured by orbit. Arrow keys walk over them.`);
    choose(0);
  }

  controls.addEventListener("change", (event) => update(event.target.name === "group"));
  controls.addEventListener("submit", (event) => event.preventDefault());
  for (const kind of ["pointermove", "pointerdown"])
    weightsPicture.addEventListener(kind, (event) => {
      const { entry } = event.target.dataset;
      if (entry !== undefined && Number(entry) !== chosen) choose(Number(entry));
    });
  const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  weightsPicture.addEventListener("keydown", (event) => {
    if (!(event.key in steps)) return;
    event.preventDefault();
    const [down, right] = steps[event.key];
    const { row, column } = squares[chosen];
    const next = squares.findIndex((each) => each.row === row + down && each.column === column + right);
    if (next >= 0) choose(next);
  });

  options(controls.elements.group, groups.map((each) => each.group), groups[0].group,
    (name) => `${name}: ${groups.find((each) => each.group === name).does}`);
  update(true);
})();
