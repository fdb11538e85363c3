'use strict';
// Colours of steps, distinct to colour-blind readers too (Okabe and Ito).
const COLOURS = ['#E69F00', '#56B4E9', '#009E73', '#CC79A7', '#D55E00', '#0072B2'];
const $ = id => document.getElementById(id);
const pad = $('pad'), redraw = $('redraw');
const ink = pad.getContext('2d');
let models = [], model = null;
let seen = null;      // The last answer.
let objects = [];     // What is drawn again: {what, where, moves}.
let question = 0;     // Answers to older questions are dropped.
let cursor = null;    // Of the keyboard, in pixels of the pad.

async function ask(path, options = {}, query = {}) {
  const mine = ++question, started = performance.now();
  const parameters = new URLSearchParams({model: model.name, ...query});
  let answer;
  try {
    const response = await fetch(`${path}?${parameters}`, options);
    answer = response.status === 503 ? {error: 'Too many are asking at once. Please try again.'}
                                     : await response.json();
  } catch {
    answer = {error: 'The server does not answer. Is bin/demo.py still running?'};
  }
  if (mine !== question) return null;
  $('problem').hidden = !answer.error;
  $('problem').textContent = answer.error || '';
  if (answer.error) return null;
  $('time').textContent = `${Math.round(performance.now() - started)} ms`;
  return answer;
}

function show(answer, drawn) {
  if (!answer) return;
  seen = answer;
  const n = answer.num_steps;
  $('answer').textContent = `${n} object${n === 1 ? '' : 's'}`;
  $('probs').replaceChildren(...answer.num_steps_probs.map((p, i) => {
    const bar = document.createElement('div');
    bar.className = i === n ? 'most' : '';
    bar.innerHTML = `${Math.round(100 * p)} %<i></i>${i}`;
    bar.querySelector('i').style.height = `${3.6 * p}rem`;
    return bar;
  }));
  $('strip').replaceChildren(...answer.steps.map(step));
  $('play').disabled = n === 0;
  if (!drawn) paint(answer.image);
  objects = answer.steps.map(s => ({what: s.what, where: [...s.where], moves: model.directions.map(() => 0)}));
  $('objects').replaceChildren(...objects.map(sliders));
  paintOn(redraw, answer.reconstruction);
}

function panel(title, url, box, colour) {
  const figure = document.createElement('figure');
  const image = document.createElement('div');
  image.className = 'image';
  const picture = new Image();
  picture.src = url;
  picture.alt = title;
  image.append(picture);
  if (box) {
    const frame = document.createElement('div');
    const [y, x, height, width] = box;
    frame.className = 'box';
    Object.assign(frame.style, {
      borderColor: colour, top: `${100 * y / model.height}%`, left: `${100 * x / model.width}%`,
      height: `${100 * height / model.height}%`, width: `${100 * width / model.width}%`});
    image.append(frame);
  }
  figure.append(image, title);
  return figure;
}

function step(s, t) {
  const colour = COLOURS[t % COLOURS.length], row = document.createElement('div');
  row.className = 'step';
  row.style.borderColor = colour;
  const text = document.createElement('p');
  text.textContent = `Step ${t + 1}, taken with probability ${Math.round(100 * seen.step_probs[t])} %`;
  const panels = document.createElement('div');
  panels.className = 'panels';
  panels.append(panel('attend', seen.image, s.box, colour), panel('read', s.attended),
                panel('infer', s.glimpse), panel('write', s.canvas, s.box, colour));
  row.append(text, panels);
  return row;
}

async function play() {
  const figures = [...$('strip').querySelectorAll('figure')];
  figures.forEach(f => f.classList.add('waiting'));
  for (const f of figures) {
    await new Promise(done => setTimeout(done, 450));
    f.classList.remove('waiting');
  }
}

// --- Drawing ---------------------------------------------------------------
function clear() {
  ink.fillStyle = 'black';
  ink.fillRect(0, 0, pad.width, pad.height);
}

function paintOn(canvas, url) {
  const picture = new Image();
  picture.onload = () => {
    const context = canvas.getContext('2d');
    context.imageSmoothingEnabled = false;
    context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  };
  picture.src = url;
}
const paint = url => paintOn(pad, url);

function place(event, canvas) {
  const frame = canvas.getBoundingClientRect();
  return [(event.clientX - frame.left) / frame.width * canvas.width,
          (event.clientY - frame.top) / frame.height * canvas.height];
}

function stroke(from, to) {
  ink.strokeStyle = model.channels === 3 ? $('colour').value : 'white';
  ink.lineCap = 'round';
  ink.lineWidth = $('brush').value * pad.width / model.width;
  ink.beginPath();
  ink.moveTo(...from);
  ink.lineTo(...to);
  ink.stroke();
}

const explainPad = () => pad.toBlob(async file => show(
  await ask('explain', {method: 'POST', body: file}), true));

let last = null;
pad.addEventListener('pointerdown', e => {
  pad.setPointerCapture(e.pointerId);
  last = place(e, pad);
  stroke(last, last);
});
pad.addEventListener('pointermove', e => {
  if (!last) return;
  const next = place(e, pad);
  stroke(last, next);
  last = next;
});
for (const end of ['pointerup', 'pointercancel']) {
  pad.addEventListener(end, () => { if (last) { last = null; explainPad(); } });
}
pad.addEventListener('keydown', e => {
  const moves = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
  cursor ??= {at: [pad.width / 2, pad.height / 2], down: false};
  if (e.key in moves) {
    const unit = pad.width / model.width;
    const next = cursor.at.map((v, i) => Math.min(pad.width, Math.max(0, v + unit * moves[e.key][i])));
    if (cursor.down) stroke(cursor.at, next);
    cursor.at = next;
  } else if (e.key === ' ') {
    cursor.down = !cursor.down;
    if (cursor.down) stroke(cursor.at, cursor.at); else explainPad();
  } else if (e.key === 'Enter') {
    explainPad();
  } else {
    return;
  }
  e.preventDefault();
  $('pad-help').textContent = `Pen ${cursor.down ? 'down' : 'up'} at ` +
    `${cursor.at.map(v => Math.round(v * model.width / pad.width)).join(', ')}. ` +
    'Arrow keys move, Space puts the pen down or up, Enter counts.';
});

async function open(file) {
  if (file) show(await ask('explain', {method: 'POST', body: file}));
}
for (const name of ['dragover', 'drop']) {
  document.addEventListener(name, e => {
    e.preventDefault();
    if (name === 'drop') open(e.dataTransfer.files[0]);
  });
}

// --- Drawing again ---------------------------------------------------------
let waiting = false, again = false;
async function decode() {
  if (waiting) { again = true; return; }
  waiting = true;
  const body = JSON.stringify({
    what: objects.map(o => o.what.map((v, i) => v + o.moves.reduce(
      (sum, m, d) => sum + m * model.directions[d][i], 0))),
    where: objects.map(o => o.where)});
  const answer = await ask('decode', {method: 'POST', body});
  waiting = false;
  if (answer) paintOn(redraw, answer.image);
  if (again) { again = false; decode(); }
}

function sliders(object, t) {
  const field = document.createElement('fieldset'), legend = document.createElement('legend');
  legend.textContent = `Object ${t + 1}`;
  field.style.borderLeftColor = COLOURS[t % COLOURS.length];
  field.append(legend);
  const add = (title, value, low, high, change) => {
    const label = document.createElement('label'), input = document.createElement('input');
    Object.assign(input, {type: 'range', min: low, max: high, step: (high - low) / 100});
    input.value = value;
    input.addEventListener('input', () => { change(Number(input.value)); decode(); });
    label.append(title, input);
    field.append(label);
    return input;
  };
  add('size', object.where[0], .1, 1, v => { object.where[0] = v; });
  object.inputs = ['left, right', 'up, down'].map((title, i) => add(
    title, object.where[i + 1], -1, 1, v => { object.where[i + 1] = v; }));
  model.directions.forEach((_, d) => add(
    `code ${d + 1}`, 0, -3, 3, v => { object.moves[d] = v; }));
  return field;
}

let dragged = null;
const middle = (o, i) => (o.where[i] + 1) / 2 * redraw.width;
redraw.addEventListener('pointerdown', e => {
  const [x, y] = place(e, redraw);
  const distance = o => Math.hypot(middle(o, 1) - x, middle(o, 2) - y);
  dragged = objects.length ? objects.reduce((a, b) => distance(a) <= distance(b) ? a : b) : null;
  if (dragged) redraw.setPointerCapture(e.pointerId);
});
redraw.addEventListener('pointermove', e => {
  if (!dragged) return;
  place(e, redraw).forEach((v, i) => {
    dragged.where[i + 1] = Math.min(1, Math.max(-1, 2 * v / redraw.width - 1));
    dragged.inputs[i].value = dragged.where[i + 1];
  });
  decode();
});
for (const end of ['pointerup', 'pointercancel']) redraw.addEventListener(end, () => { dragged = null; });

// --- Start -----------------------------------------------------------------
function choose(name) {
  model = models.find(m => m.name === name);
  pad.width = pad.height = model.width * 8;
  redraw.width = redraw.height = model.width * 8;
  redraw.getContext('2d').fillRect(0, 0, redraw.width, redraw.height);
  $('colour-label').hidden = model.channels !== 3;
  $('count').max = model.max_steps;
  cursor = null;
  clear();
  $('scene').click();
}
$('model').addEventListener('change', e => choose(e.target.value));
$('clear').addEventListener('click', () => { clear(); explainPad(); });
$('play').addEventListener('click', play);
$('file').addEventListener('change', e => { open(e.target.files[0]); e.target.value = ''; });
$('scene').addEventListener('click', async () => show(
  await ask('scene', {}, {number: Math.floor(1e6 * Math.random())})));
$('sample').addEventListener('click', async () => show(
  await ask('sample', {}, {num_steps: $('count').value})));
(async () => {
  models = await (await fetch('models')).json();
  $('model').replaceChildren(...models.map(m => new Option(m.name)));
  choose(models[0].name);
})();
