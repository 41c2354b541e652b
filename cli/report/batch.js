// Which samples count: a batch of the chosen run weighed anew for the slider's lambda, and the steps of all runs.
const state = {run: 0, snapshot: 0, lambda: Infinity, moved: false};
const chosen = () => runs[state.run];
const snapshot = () => chosen().snapshots[state.snapshot];
const lambdaOfRun = () => snapshot().batch.lambda ?? Infinity;
const floorNow = () => byId('floor').checked ? chosen().floor : 0;
const weighed = () => weigh(snapshot().batch, state.lambda, floorNow());

const sampleKinds = [{name: 'predicted right', marker: 'circle', colour: 'var(--s0)', line: false},
  {name: 'predicted wrong', marker: 'triangle', colour: 'var(--s1)', line: false},
  {name: 'label flipped', marker: 'cross', colour: 'var(--s3)', line: false},
  {name: 'sample', marker: 'circle', colour: 'var(--s0)', line: false}];
const inTheRun = {name: 'its weight in the run', marker: 'ring', colour: 'var(--ring)', line: false};
function kindOf(batch, i) {
  if (batch.flipped && batch.flipped[i]) return sampleKinds[2];
  if (!batch.labels || !batch.predictions) return sampleKinds[3];
  return batch.labels[i] === batch.predictions[i] ? sampleKinds[0] : sampleKinds[1];
}

function drawWeights(figure) {
  const {batch, epoch} = snapshot(), {weights, logMean, lambda} = weighed(), log = byId('log-weights').checked;
  const domain = extent(batch.losses, Math.min(...batch.losses) >= 0);
  const weightAt = (loss) => Math.exp((Number.isFinite(lambda) ? loss / lambda : 0) - logMean);
  const curve = Array.from({length: 121}, (_, i) => domain[0] + (domain[1] - domain[0]) * i / 120).map((loss) => [loss, weightAt(loss)]);
  const most = roundUp(Math.max(2, ...weights, ...batch.weights));
  const least = Math.max(1e-12, Math.min(0.5, ...weights, ...batch.weights.filter((w) => w > 0))) / 1.5;
  const {root, px, py} = plot(figure, 330, {label: 'loss of the sample ℓ, nats', domain}, {label: 'weight w', log, domain: log ? [least, most] : [0, most]},
      `Weight against loss at lambda ${lambdaText(state.lambda)}`);
  const inside = (w) => log ? Math.max(w, least) : w;
  root.append(svg('path', {class: 'curve', id: 'weight-curve', d: pathOf(curve.filter(([, w]) => w <= most), px, (w) => py(inside(w))), fill: 'none', stroke: 'var(--soft)', 'stroke-width': 1.5}));
  batch.weights.forEach((w, i) => root.append(marker('ring', px(batch.losses[i]), py(inside(w)), inTheRun.colour, 4)));
  const used = new Set(), name = (c) => chosen().classes[c] ?? String(c);
  weights.forEach((w, i) => {
    const kind = kindOf(batch, i), point = marker(kind.marker, px(batch.losses[i]), py(inside(w)), kind.colour, 3.5);
    const who = batch.labels ? `${name(batch.labels[i])}, predicted ${batch.predictions ? name(batch.predictions[i]) : '?'}: ` : '';
    point.append(svg('title', {}, `${who}loss ${number(batch.losses[i])}, weight ${number(w)}, in the run ${number(batch.weights[i])}`));
    root.append(point);
    used.add(kind);
  });
  figure.replaceChildren(caption('Weight against loss',
      `${batch.losses.length} samples of ${chosen().label}, epoch ${epoch}, on the curve of the slider’s λ${batch.priors ? ' for q = 1: class weights lift a sample off it' : ''}. Rings: the weights that the run itself gave, ${number(mean(batch.weights))} on average.`),
      legend([...sampleKinds.filter((kind) => used.has(kind)), inTheRun]), root);
}

function drawShares(figure) {
  const s = snapshot(), rows = chosen().classes, share = (sums) => { const total = sums.reduce((a, b) => a + b, 0); return sums.map((v) => total ? 100 * v / total : NaN); };
  if (!s.batch.labels) return figure.replaceChildren(caption('Who gets the weight', `${chosen().label} recorded no classes.`));
  const sums = rows.map(() => 0);
  weighed().weights.forEach((w, i) => { sums[s.batch.labels[i]] += w; });
  const columns = [
    {name: 'share of the samples, epoch', marker: 'square', colour: 'var(--s5)', values: share(s.count_by_class)},
    {name: 'share of the weight, epoch', marker: 'circle', colour: 'var(--s0)', values: share(s.weight_by_class)},
    {name: 'share of the weight, this batch at the slider’s λ', marker: 'diamond', colour: 'var(--s1)', values: share(sums)},
  ];
  dotPlot(figure, {title: 'Who gets the weight', more: `${chosen().label}, epoch ${s.epoch}. Where the circle is right of the square, a class counts for more than its number.`,
    rows, columns, domain: [0, roundUp(Math.max(1, ...columns.flatMap((c) => c.values.filter(Number.isFinite))))], xLabel: 'share, %'});
}

// A measure of this batch's weights over all lambdas; computed once for a batch, which the slider does not change.
const sweeps = new Map();
function sweepOf(measure) {
  const {batch} = snapshot(), floor = floorNow(), known = sweeps.get(measure);
  if (known && known.batch === batch && known.floor === floor) return known.points;
  const points = Array.from({length: 101}, (_, i) => 2 * i - 100).map((place) => [place, measure(weigh(batch, lambdaAt(place), floor).weights)]);
  sweeps.set(measure, {batch, floor, points});
  return points;
}
const klOf = (weights) => divergence(weights, snapshot().batch.priors);
function drawSweep(figure, title, more, label, measure, limits) {
  const points = sweepOf(measure), y = measure(weighed().weights);
  lineChart(figure, {
    title, more, x: lambdaAxis, y: {label, domain: [0, 1.12 * Math.max(y, ...points.map((p) => p[1]), ...limits.map((l) => l.y))]}, limits,
    series: [{name: 'this batch', points, colour: 'var(--s0)'}], xName: (v) => `λ ${lambdaText(lambdaAt(v))}`,
    at: {name: `λ ${lambdaText(state.lambda)}`, x: placeOf(state.lambda), y, colour: 'var(--s1)'},
  });
}
// The largest KL there can be, where it is known. An effective share of s leaves at most log(1 / s) nats: Jensen.
function ceilings(samples, floor, priors) {
  if (floor > 0) return [{name: `log 1/${number(floor)} = ${number(Math.log(1 / floor))}: the least share`, y: Math.log(1 / floor)}];
  return priors ? [] : [{name: `log ${samples} = ${number(Math.log(samples))}: one sample has all`, y: Math.log(samples)}];
}
const reference = (priors) => priors ? 'the class weights' : 'equal weights';

function addBatch() {
  const add = (id, draw) => register(byId(id), (figure) => { if (snapshot()) draw(figure); });
  add('weights', drawWeights);
  add('shares', drawShares);
  const size = () => snapshot().batch.losses.length;
  add('sweep-ess', (figure) => drawSweep(figure, 'Effective sample size against λ', '(Σw)² / Σw²: the number of equal weights that would vary as much.', 'samples', effectiveSize,
      [{name: `${size()}: all alike`, y: size()}]));
  add('sweep-kl', (figure) => drawSweep(figure, `KL from ${reference(snapshot().batch.priors)} against λ`,
      'How far the weights have moved, in nats: the price that λ puts on moving them.', 'KL, nats', klOf, ceilings(size(), floorNow(), snapshot().batch.priors)));
}
function drawBatch() {
  const {batch} = snapshot(), {weights, lambda} = weighed(), n = batch.losses.length, says = byId('lambda-says');
  const size = effectiveSize(weights), kl = klOf(weights), ofRun = batch.reduction === 'absgd';
  byId('lambda-value').textContent = lambdaText(state.lambda);
  byId('lambda').setAttribute('aria-valuetext', `lambda ${Number.isFinite(state.lambda) ? number(state.lambda) : 'infinite'}`);
  says.dataset.ess = size;
  says.dataset.kl = kl;
  says.textContent = `Effective sample size ${number(size)} of ${n} (${percent(size / n)} %) · KL from ${reference(batch.priors)} ${number(kl)} nats · ` +
      `heaviest sample ${percent(Math.max(...weights) / n)} % of the batch` + (lambda === state.lambda ? '' : ` · eased to λ ${lambdaText(lambda)}, for the least share`) +
      (ofRun ? ` · λ of the run ${lambdaText(lambdaOfRun())}` : ` · the run itself weighs by “${batch.reduction}”, without a λ`);
  byId('lambda-run').hidden = !ofRun;
  byId('floor-box').hidden = chosen().floor === 0;
  byId('floor-value').textContent = percent(chosen().floor);
}

// ---- over the steps

function smooth(points) {
  const half = Math.max(1, Math.round(points.length / 80));
  return points.map(([x], i) => {
    const near = points.slice(Math.max(0, i - half), i + half + 1).map((p) => p[1]).filter(Number.isFinite);
    return [x, near.length ? mean(near) : NaN];
  });
}
function overSteps(run, name, value, more = {}) {
  const points = run.steps.step.map((step, i) => [step, value(run.steps, i) ?? NaN]);
  return {name, points: smooth(points), faint: points, colour: run.colour, ...more};
}
function addSteps() {
  const recorded = runs.filter((run) => run.steps);
  byId('steps-none').hidden = recorded.length > 0;
  if (recorded.length === 0) return;
  const add = (options) => register(byId('step-charts').appendChild(el('figure')), (figure) => lineChart(figure, {x: {label: 'step', whole: true}, ...options()}));
  const thin = 'Faint: recorded steps. Bold: their running mean.';
  add(() => ({title: 'Loss over the steps', more: chosen().steps ? `${chosen().label}: the unweighted mean, and the weighted one that a step descends. ${thin}` : `${chosen().label} has no recorded steps.`,
    y: {label: 'loss, nats', zero: true}, series: chosen().steps ? [overSteps(chosen(), 'mean', (s, i) => s.mean_loss[i], {colour: 'var(--s0)'}),
      overSteps(chosen(), 'weighted', (s, i) => s.weighted_loss[i], {colour: 'var(--s1)', dash: '7 4'})] : []}));
  add(() => ({title: 'Effective sample size', more: `In % of the batch: 100 where all weigh alike. ${thin}`, y: {label: '% of the batch', domain: [0, 105]},
    series: recorded.map((run) => overSteps(run, run.label, (s, i) => 100 * s.effective_sample_size[i] / s.samples[i]))}));
  const samples = Math.max(...recorded.flatMap((run) => run.steps.samples)), floors = recorded.map((run) => run.exponential ? run.floor : 1);
  const limits = ceilings(samples, Math.min(...floors) < 1 ? Math.min(...floors) : 0, false);
  const highest = Math.max(...recorded.flatMap((run) => run.steps.kl_from_prior), ...limits.map((l) => l.y));
  add(() => ({title: 'KL from the reference', more: `From equal weights, or from the class weights of runs that have them. ${thin} Across: the ceiling${limits[0].name.includes('share') ? `; without the least share it would be log ${samples} = ${number(Math.log(samples))}` : ''}.`,
    y: {label: 'KL, nats', domain: [0, 1.12 * highest]}, limits, series: recorded.map((run) => overSteps(run, run.label, (s, i) => s.kl_from_prior[i]))}));
  add(() => {
    const run = chosen(), tilted = (key) => (s, i) => s.lambda[i] === null ? NaN : s[key][i];
    const there = run.steps && run.steps.step.some((_, i) => Number.isFinite(tilted('log_u')(run.steps, i)));
    return {title: 'log u against the batch', more: there
      ? `${run.label}, while λ is finite. u averages the batches’ mean of q exp(ℓ/λ); the gap to a batch’s own mean is the log of that batch’s mean weight.`
      : `${run.label} has no recorded running average u: it steps by the mean, or by another rule.`, y: {label: 'nats'},
      series: there ? [overSteps(run, 'log-mean-exp of the batch', tilted('batch_log_mean_exp'), {colour: 'var(--s1)', dash: '7 4'}),
        overSteps(run, 'log u', tilted('log_u'), {colour: 'var(--s0)'})] : []};
  });
}
