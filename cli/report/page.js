// Samples as pictures, the controls, and the order in which all is drawn.
function picture(sample, [channels, height, width], text) {
  const canvas = el('canvas', {width, height, role: 'img', 'aria-label': text}), plane = height * width;
  const byteAt = (k) => parseInt(sample.pixels.slice(2 * k, 2 * k + 2), 16);
  const context = canvas.getContext('2d'), image = context.createImageData(width, height);
  for (let k = 0; k < plane; ++k) {
    for (let c = 0; c < 3; ++c) image.data[4 * k + c] = byteAt(channels === 3 ? c * plane + k : k);
    image.data[4 * k + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return canvas;
}
const isFlipped = (sample) => sample.clean_label !== null && sample.clean_label !== sample.label;
function card(run, sample, numbers) {
  const name = (c) => run.classes[c] ?? String(c), flipped = isFlipped(sample), {image} = run.samples;
  return el('li', {},
      sample.pixels && image.length === 3 ? picture(sample, image, `Sample ${sample.index}, labelled ${name(sample.label)}`) : null,
      el('span', {}, 'label ', el('strong', {}, name(sample.label))),
      el('span', {}, 'predicted ', el('strong', {}, name(sample.predicted)), ` ${percent(sample.confidence)} %`),
      el('span', {class: 'numbers'}, numbers),
      el('span', {class: 'numbers'}, `p(label) ${number(sample.label_probability, 2)} · #${sample.index}`),
      sample.clean_label === null ? null : el('span', {class: flipped ? 'badge flipped' : 'badge'}, flipped ? `✗ flipped, was ${name(sample.clean_label)}` : '✓ not flipped'));
}
function flipsOf(list) {
  const known = list.filter((sample) => sample.clean_label !== null);
  return known.length ? ` ${known.filter(isFlipped).length} of these ${known.length} have a flipped label.` : '';
}
function drawSamples() {
  const run = chosen(), samples = run.samples, hardest = samples ? samples.hardest : [], suspects = samples ? samples.suspects : [];
  byId('hardest-note').textContent = !samples ? `${run.label} has no recorded samples (--no-record).`
    : hardest.length === 0 ? `${run.label} recorded no samples: it tells no classes apart.`
    : `${run.label}: the training samples with the largest loss, each as its batch saw it in epoch ${samples.epoch}, and how much it counted there.${flipsOf(hardest)}`;
  byId('suspects-note').textContent = !samples ? '' : suspects.length === 0 ? 'None: no label has been improbable for most of the run.'
    : `Their label has been less probable than another class for most of the run. The margin, p(label) − p(best other class), is averaged over the epochs: a wrong label stays far below 0 even if the network learns it by heart in the end.${flipsOf(suspects)}`;
  byId('hardest').replaceChildren(...hardest.map((s) => card(run, s, `loss ${number(s.loss)} · weight ${number(s.weight)}`)));
  byId('suspects').replaceChildren(...suspects.map((s) => card(run, s, `margin ${number(s.margin, 2)} · loss ${number(s.loss)} · weight ${number(s.weight)}`)));
}

const batchFigures = ['weights', 'shares', 'sweep-ess', 'sweep-kl'];
function setLambda(lambda, moved) {
  state.lambda = lambda;
  state.moved = moved;
  byId('lambda').value = String(Math.round(placeOf(lambda)));
  drawBatch();
  drawAll(batchFigures);
}
function chooseSnapshot(i) {
  state.snapshot = i;
  const s = snapshot();
  byId('epoch-value').textContent = s ? `${s.epoch} of ${chosen().last.epoch}` : '–';
  byId('dro-panels').hidden = !s;
  byId('dro-none').hidden = Boolean(s);
  byId('dro-none').textContent = `${chosen().label} has no recorded batches (--no-record).`;
  if (s) setLambda(state.moved ? state.lambda : lambdaOfRun(), state.moved);
  drawAll(['confusion']);
}
function chooseRun(i) {
  state.run = i;
  state.moved = false;
  const count = chosen().snapshots.length;
  byId('epoch').max = String(Math.max(0, count - 1));
  byId('epoch').value = byId('epoch').max;
  byId('epoch').disabled = count < 2;
  byId('floor').checked = chosen().floor > 0;
  drawSamples();
  chooseSnapshot(Math.max(0, count - 1));
  drawAll();
}
function addControls() {
  byId('run').append(...runs.map((run, i) => el('option', {value: i}, run.label)));
  byId('run').addEventListener('change', (event) => chooseRun(Number(event.target.value)));
  byId('epoch').addEventListener('input', (event) => chooseSnapshot(Number(event.target.value)));
  byId('lambda').addEventListener('input', (event) => setLambda(lambdaAt(Number(event.target.value)), true));
  byId('lambda-run').addEventListener('click', () => setLambda(lambdaOfRun(), false));
  byId('lambda-mean').addEventListener('click', () => setLambda(Infinity, true));
  byId('log-weights').addEventListener('change', () => drawAll(['weights']));
  byId('floor').addEventListener('change', () => setLambda(state.lambda, state.moved));
}

const count = (n, one, several) => n === 0 ? [] : [n === 1 ? `one ${one}` : `${n} ${several}`];
byId('lead').textContent = `Made by heft ${data.version} from ${[...count(runs.length, 'run', 'runs'), ...count(studies.length, 'study', 'studies')].join(' and ')}: ` +
    [...runs.map((run) => run.name), ...studies.map((study) => study.folder)].join(', ');
byId('studies').hidden = studies.length === 0;
for (const study of studies) addStudy(study);
for (const part of document.querySelectorAll('.of-runs')) part.hidden = runs.length === 0;
if (runs.length) {
  addRuns();
  addCurves();
  addRunSweep();
  register(byId('per-class'), drawPerClass);
  register(byId('confusion'), drawConfusion);
  addBatch();
  addSteps();
  addControls();
}
for (const section of document.querySelectorAll('main section'))
  if (!section.hidden) byId('contents').append(el('a', {href: `#${section.id}`}, section.querySelector('h2').textContent));
if (runs.length) {
  // The last run that tilts its losses, if one does: its panels have most to show.
  const first = Math.max(0, runs.map((run) => run.snapshots.some((s) => s.batch.lambda !== null)).lastIndexOf(true));
  byId('run').value = String(first);
  chooseRun(first);
} else {
  drawAll();
}
