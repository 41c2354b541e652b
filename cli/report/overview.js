// What needs no choice: the tables, the curves of all runs, accuracy against lambda. And the classes.
const data = JSON.parse(byId('data').textContent);
const {runs, studies} = data;

const lastPart = (path) => path.split('/').filter(Boolean).pop() || path;
runs.forEach((run, i) => {
  const short = lastPart(run.name);
  run.label = runs.some((other) => other !== run && lastPart(other.name) === short) ? run.name : short;
  run.colour = colour(i);
  run.marker = markerOf(i);
  run.last = run.epochs[run.epochs.length - 1];
  run.counts = run.samples ? run.samples.class_counts : [];
  run.classes = Array.from({length: run.class_count}, (_, c) => run.samples && run.samples.classes[c] || String(c));
  run.exponential = run.snapshots.some((s) => s.batch.reduction === 'absgd') || Boolean(run.config && /^ab/.test(run.config.optimizer));
  run.floor = run.exponential && run.config && run.config.accumulate === 1 && run.config.min_share || 0;
});

function methodOf({config, exponential}) {
  if (!config) return 'unknown, without config.json';
  const words = [config.optimizer];
  if (exponential) {
    words.push(config.lambda_auto ? `λ by ${config.lambda_auto}` : `λ ${config.lambda === null ? '∞' : number(config.lambda)}`);
    if (config.lambda_from > 1) words.push(`from epoch ${config.lambda_from}`);
  }
  if (config.reweight !== 'none') words.push(config.reweight);
  if (config.loss !== 'cross_entropy') words.push(config.loss);
  if (config.class_weights && config.class_weights !== 'none') words.push(`${config.class_weights} class weights`);
  return words.filter(Boolean).join(', ');
}
function dataOf({config}) {
  const source = config ? config.data : {};
  return [source.data, ...[source.imbalance, source.noise].filter((x) => x !== 'none')].filter(Boolean).join(', ') || '–';
}

// columns: [{name, value(row), best: which value is, if any}]
function table(columns, rows, heads) {
  const best = columns.map(({value, best}) => best && rows.length > 1 ? Math.max(...rows.map((r) => parseFloat(value(r))).filter(Number.isFinite)) : NaN);
  return el('table', {},
      el('thead', {}, el('tr', {}, ...heads.map(({name}) => el('th', {scope: 'col', class: 'words'}, name)),
          ...columns.map(({name}) => el('th', {scope: 'col'}, name)))),
      el('tbody', {}, ...rows.map((row) => el('tr', {},
          ...heads.map(({value}, h) => h === 0 ? el('th', {scope: 'row'}, value(row)) : el('td', {class: 'words'}, value(row))),
          ...columns.map(({value}, c) => el('td', parseFloat(value(row)) === best[c] ? {class: 'best'} : {}, value(row)))))));
}

function addRuns() {
  const columns = [
    {name: 'accuracy, %', value: (r) => percent(r.last.test_accuracy), best: true},
    {name: 'balanced, %', value: (r) => percent(r.last.balanced_accuracy), best: true},
    {name: 'worst class, %', value: (r) => percent(r.last.worst_class_accuracy), best: true},
    {name: 'validation, balanced, %', value: (r) => percent(r.last.validation_balanced_accuracy), best: true},
    {name: 'test loss', value: (r) => number(r.last.test_loss)},
    {name: 'train loss', value: (r) => number(r.last.train_loss)},
    {name: 'ECE, %', value: (r) => percent(r.last.calibration_error)},
    {name: 'effective share, %', value: (r) => percent(r.last.effective_share)},
    {name: 'flips memorised, %', value: (r) => percent(r.last.memorised)},
    {name: 'images/s', value: (r) => number(r.last.images_per_second, 4)},
  ].filter(({value}) => runs.some((r) => value(r) !== '–'));
  byId('runs-table').append(table(columns, runs, [
    {name: 'run', value: (run) => el('span', {class: 'legend', title: run.name}, swatch(run), run.label)},
    {name: 'method', value: methodOf}, {name: 'data', value: dataOf}, {name: 'epoch', value: (run) => String(run.last.epoch)},
  ]));
  byId('runs-warnings').replaceChildren(...runs.filter((run) => run.last.collapsed_to !== null).map((run) =>
    el('p', {class: 'warning'}, `${run.label} has collapsed: in its last epoch it predicted “${run.classes[run.last.collapsed_to] ?? run.last.collapsed_to}” for every sample.`)));
}

// ---- curves

const byEpoch = (run, key, scale = 1) => run.epochs.map((e) => [e.epoch, typeof e[key] === 'number' ? scale * e[key] : NaN]);
const some = (run, key) => run.epochs.some((e) => typeof e[key] === 'number');

function addCurves() {
  const charts = byId('curves-charts');
  const add = (title, more, y, series) => {
    const seen = series.filter((s) => s.points.some((p) => Number.isFinite(p[1])));
    if (seen.length) register(charts.appendChild(el('figure')), (figure) => lineChart(figure, {title, more, x: {label: 'epoch', whole: true}, y, series: seen}));
  };
  const line = (run, points, name = '', dash = 'none') =>
    ({name: [runs.length > 1 && run.label, name].filter(Boolean).join(', ') || run.label, points, colour: run.colour, marker: run.marker, dash});
  const plain = (run) => line(run, byEpoch(run, 'train_loss'), runs.length > 1 ? '' : 'mean');
  const weighted = (run) => line(run, run.snapshots.map((s) => [s.epoch, s.weighted_loss]), runs.length > 1 ? '' : 'weighted', '7 4');
  const loss = {label: 'loss, nats', zero: true}, share = {label: 'accuracy, %', domain: [0, 100]};
  if (runs.length === 1) {
    add('Training loss', 'Solid: the plain mean. Dashed: weighted, what the steps descend.', loss, [plain(runs[0]), weighted(runs[0])]);
  } else {
    const both = {...loss, domain: extent(runs.flatMap((run) => [plain(run), weighted(run)].flatMap((s) => s.points.map((p) => p[1]))), true)};
    add('Training loss, unweighted', 'The plain mean over the epoch’s samples: the one to compare runs by.', both, runs.map(plain));
    add('Training loss, weighted', 'What the steps of each run descend, on the same axis.', both, runs.map(weighted));
  }
  add('Test loss', 'Every sample counting alike. Where it rises while the training loss falls, the network learns by heart.', loss, runs.map((run) => line(run, byEpoch(run, 'test_loss'))));
  if (runs.some((run) => run.epochs.some((e) => Math.abs(e.test_accuracy - e.balanced_accuracy) > 1e-9)))
    add('Accuracy', 'Of all samples of the test set, so that large classes count for more.', share, runs.map((run) => line(run, byEpoch(run, 'test_accuracy', 100))));
  add('Balanced accuracy', 'The mean of the classes’ accuracies on the test set.', share, runs.map((run) => line(run, byEpoch(run, 'balanced_accuracy', 100))));
  add('Worst class', 'The lowest of the classes’ accuracies on the test set: the mean hides it.', share, runs.map((run) => line(run, byEpoch(run, 'worst_class_accuracy', 100))));
  add('Flipped labels learnt by heart', 'Training samples with a wrong label that are predicted to have it. Good methods stay low.', {...share, label: 'memorised, %'},
      runs.filter((run) => some(run, 'memorised')).map((run) => line(run, byEpoch(run, 'memorised', 100))));
}

// ---- classes

function drawPerClass(figure) {
  const run = chosen(), comparable = runs.filter((r) => r.last.per_class_accuracy && r.class_count === run.class_count);
  if (comparable.length === 0) return figure.replaceChildren(caption('Accuracy by class', 'No run here has accuracies of classes.'));
  dotPlot(figure, {
    title: 'Accuracy by class', more: `Test set, last epoch of each run.${run.counts.length ? ` On the right: training images of ${run.label}.` : ''}`,
    rows: run.classes, domain: [0, 100], xLabel: 'accuracy, %', notes: run.counts.map(String),
    columns: comparable.map((r) => ({name: r.label, colour: r.colour, marker: r.marker, values: r.last.per_class_accuracy.map((v) => v === null ? NaN : 100 * v)})),
  });
}

function drawConfusion(figure) {
  const run = chosen(), counts = snapshot() && snapshot().confusion, n = run.class_count;
  if (!counts) return figure.replaceChildren(caption('Confusion matrix',
      snapshot() ? `None of ${run.label} after this epoch; of many classes the last one is kept.` : `${run.label} has none: it was not recorded.`));
  const width = widthOf(figure), labels = n <= 20;
  const widest = Math.min(width < 420 ? 62 : 96, 14 + 7 * Math.max(...run.classes.map((c) => c.length)));
  const left = labels ? widest + 18 : 24, top = 4, bottom = labels ? widest + 22 : 24, side = Math.min(44, (width - left - 4) / n);
  const height = top + n * side + bottom;
  const root = svg('svg', {width, height, viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': `Confusion matrix of ${run.label}, ${n} classes`});
  counts.forEach((row, label) => {
    const total = row.reduce((a, b) => a + b, 0), y = top + label * side, name = cutTo(run.classes[label], widest, 6.6);
    if (labels) root.append(svg('text', {class: 'row', x: left - 6, y: y + side / 2 + 4, 'text-anchor': 'end'}, name),
        svg('text', {class: 'row', transform: `translate(${left + (label + 0.5) * side + 4} ${top + n * side + 8}) rotate(-90)`, 'text-anchor': 'end'}, name));
    row.forEach((count, predicted) => {
      const share = total ? count / total : 0, x = left + predicted * side;
      const cell = {x: x + 0.5, y: y + 0.5, width: Math.max(0.5, side - 1), height: Math.max(0.5, side - 1), rx: Math.min(2, side / 8)};
      root.append(svg('g', {}, svg('title', {}, `${run.classes[label]} taken for ${run.classes[predicted]}: ${count} of ${total}, ${percent(share)} %`),
          svg('rect', {...cell, fill: 'var(--grid)'}),
          share > 0 ? svg('rect', {...cell, fill: label === predicted ? 'var(--s0)' : 'var(--s1)', 'fill-opacity': share.toFixed(3)}) : null,
          side > 19 && share >= 0.005 ? svg('text', {class: share > 0.55 ? 'cell strong' : 'cell row', x: x + side / 2, y: y + side / 2 + 4}, String(Math.round(100 * share))) : null));
    });
  });
  root.append(svg('text', {transform: `translate(11 ${top + n * side / 2}) rotate(-90)`, 'text-anchor': 'middle'}, 'true class'),
      svg('text', {x: left + n * side / 2, y: height - 4, 'text-anchor': 'middle'}, 'predicted class'));
  figure.replaceChildren(caption('Confusion matrix', `${run.label}, test set after epoch ${snapshot().epoch}: % of each true class. Blue: right. Orange: what it was taken for.`), root);
}

// ---- accuracy against lambda

const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
function grouped(list, key) {
  const groups = new Map();
  for (const item of list) groups.set(key(item), [...(groups.get(key(item)) || []), item]);
  return [...groups.values()];
}
const byPlace = (a, b) => a[0] - b[0];

// tries: [{lambda, setting, balanced, worst}]. Seeds of a setting are averaged; of the settings with one lambda the one with the
// best balanced accuracy is on the line, the others are dots.
function sweepSeries(name, tries, colourOf, kind) {
  const settings = grouped(tries, (t) => `${t.lambda} ${t.setting}`).map((seeds) =>
    ({place: placeOf(seeds[0].lambda), balanced: 100 * mean(seeds.map((t) => t.balanced)), worst: 100 * mean(seeds.map((t) => t.worst))}));
  const best = grouped(settings, (s) => s.place).map((all) => all.reduce((a, b) => b.balanced > a.balanced ? b : a)).sort((a, b) => a.place - b.place);
  return Object.fromEntries(['balanced', 'worst'].map((key) => [key, {name, colour: colourOf, marker: kind,
    points: best.map((s) => [s.place, s[key]]).sort(byPlace), dots: settings.map((s) => [s.place, s[key]])}]));
}
// sweeps: of sweepSeries(), a line each.
function addSweep(title, more, sweeps, baselines = []) {
  byId('lambda-sweep').hidden = false;
  const places = sweeps.flatMap((s) => s.balanced.dots.map(([place]) => place)), has = (sign) => places.some((place) => sign * place > 0);
  const within = ([low, high]) => [Math.max(0, low), Math.min(100, high)];
  const domain = [has(-1) ? -104 : -4, has(1) ? 104 : 4], x = {...lambdaAxis, domain, ticks: lambdaTicks.filter(([place]) => place >= domain[0] && place <= domain[1])};
  for (const [key, name] of [['balanced', 'balanced accuracy'], ['worst', 'worst class']])
    register(byId('sweep-charts').appendChild(el('figure')), (figure) => lineChart(figure, {title: `${title}: ${name}`, more, x,
      y: {label: 'accuracy, %', domain: within(extent([...sweeps.flatMap((s) => s[key].dots.map((p) => p[1])), ...baselines.map((b) => b[key])]))},
      series: sweeps.map((s) => s[key]), limits: baselines.map((b) => ({name: b.name, y: b[key]})), xName: (v) => `λ ${lambdaText(lambdaAt(v))}`}));
}
const lambdaOf = (value) => value === null ? Infinity : value;

function addRunSweep() {
  const finished = runs.filter((run) => run.family !== null && some(run, 'balanced_accuracy'));
  const tries = (family) => family.map((run) => ({lambda: lambdaOf(run.config.lambda), setting: '', balanced: run.last.balanced_accuracy, worst: run.last.worst_class_accuracy}));
  const families = grouped(finished.filter((run) => run.exponential), (run) => run.family)
      .filter((family) => new Set(family.map((run) => run.config.lambda)).size > 1);
  if (families.length === 0) return;
  addSweep('Last epoch', 'Runs on one line differ in λ and the seed alone. Dashed across: runs without λ, which may differ in more.',
      families.map((family, i) => sweepSeries(`like ${family[0].label}`, tries(family), colour(i), markerOf(i))),
      finished.filter((run) => !run.exponential).map((run) => ({name: run.label, balanced: 100 * run.last.balanced_accuracy, worst: 100 * run.last.worst_class_accuracy})));
}

// ---- studies

function addStudy(study) {
  const section = byId('studies-content');
  section.append(el('h3', {}, study.name));
  if (study.epoch !== 'last') section.append(el('p', {class: 'warning'}, `Numbers of each run’s ${study.epoch} epoch: the epoch was chosen on the test set, which flatters every method.`));
  if (study.rows.length === 0) section.append(el('p', {class: 'note'}, 'No run with a chosen setting yet: this study has only tried settings.'));
  const spread = (metric, s, sign = '') => !s ? '–'
    : `${sign && s.mean > 0 ? sign : ''}${s.mean.toFixed(2)}${s.deviation === null ? '' : ` ± ${s.deviation.toFixed(2)}`}`;
  for (const rows of grouped(study.rows, (row) => row.dataset)) {
    const columns = study.metrics.filter(({name}) => rows.some((row) => row.metrics[name]))
        .map((metric) => ({name: metric.title, value: (row) => spread(metric, row.metrics[metric.name]), best: /accuracy/.test(metric.name)}));
    const difference = study.metrics.find(({name}) => name === 'balanced_accuracy');
    if (study.baseline !== null) columns.unshift({name: `balanced − ${study.baseline}`, value: (row) => spread(difference, row.minus_baseline.balanced_accuracy, '+')});
    section.append(el('div', {class: 'scroll', tabindex: 0, role: 'region', 'aria-label': `Results on ${rows[0].dataset}`}, table(columns, rows, [
      {name: rows[0].dataset, value: (row) => row.method}, {name: 'setting', value: (row) => row.setting || '–'},
      {name: 'seeds', value: (row) => `${row.finished} of ${row.seeds}${row.diverged ? `, ${row.diverged} diverged` : ''}${row.collapsed ? `, ${row.collapsed} collapsed` : ''}`},
    ])));
  }
  const kinds = grouped(study.runs.filter((run) => typeof run.metrics.balanced_accuracy === 'number'), (run) => JSON.stringify([run.dataset, run.choosing]));
  for (const kind of kinds) {
    const {dataset, choosing} = kind[0];
    const methods = grouped(kind, (run) => run.method).filter((all) => new Set(all.map((run) => run.lambda)).size > 1);
    const tries = (all) => all.map((run) => ({lambda: lambdaOf(run.lambda), setting: run.setting, balanced: run.metrics.balanced_accuracy, worst: run.metrics.worst_class_accuracy ?? NaN}));
    if (methods.length) addSweep(`${study.name}, ${dataset}`,
        `${choosing ? 'On the held-out part of the training set' : 'On the test set'}${study.epoch === 'last' ? '' : `, ${study.epoch} epoch`}, seeds averaged. Lines: the best setting with that λ. Dots: all settings.`,
        methods.map((all, i) => sweepSeries(all[0].method, tries(all), colour(i), markerOf(i))));
  }
}
