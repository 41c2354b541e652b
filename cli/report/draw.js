// Elements, numbers as text, and charts. Text of the data reaches the page as text nodes and attribute values only, never as
// markup.
const byId = (id) => document.getElementById(id);

function make(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null));
  return element;
}
const el = (tag, attributes = {}, ...children) => make(document.createElement(tag), attributes, children);
const svg = (tag, attributes = {}, ...children) =>
    make(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children);

const number = (x, digits = 3) => {
  if (typeof x !== 'number' || Number.isNaN(x)) return '–';
  if (!Number.isFinite(x)) return x > 0 ? '∞' : '−∞';
  const size = Math.abs(x);
  const text = size !== 0 && (size >= 1e5 || size < 1e-3) ? x.toExponential(1) : String(Number(x.toPrecision(digits)));
  return text.replace('-', '−');
};
const percent = (x) => typeof x === 'number' ? (100 * x).toFixed(1) : '–';

// ---- series: {name, points: [[x, y], ...], colour, dash?, marker?, line: false?, faint?: points, dots?: points}

const markers = ['circle', 'square', 'triangle', 'diamond', 'cross', 'ring'];
const dashes = ['none', '7 4', '2 3'];
const colour = (i) => `var(--s${i % 6})`;
// Six colours and six markers; past the sixth they pair up anew.
const markerOf = (i) => markers[(i + Math.floor(i / 6)) % 6];

function marker(kind, x, y, fill, size = 4) {
  const at = {transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})`, fill, stroke: fill};
  if (kind === 'circle') return svg('circle', {...at, r: size});
  if (kind === 'ring') return svg('circle', {...at, r: size, fill: 'none', 'stroke-width': 1.5});
  if (kind === 'square') return svg('rect', {...at, x: -size * 0.9, y: -size * 0.9, width: size * 1.8, height: size * 1.8});
  const path = {
    triangle: `M0 ${-size * 1.2}L${size * 1.15} ${size * 0.9}H${-size * 1.15}Z`,
    diamond: `M0 ${-size * 1.35}L${size * 1.2} 0L0 ${size * 1.35}L${-size * 1.2} 0Z`,
    cross: `M${-size} ${-size}L${size} ${size}M${size} ${-size}L${-size} ${size}`,
  }[kind];
  return svg('path', {...at, d: path, 'stroke-width': kind === 'cross' ? 2 : 1});
}

function swatch(series) {
  return svg('svg', {width: 26, height: 14, 'aria-hidden': 'true'},
      series.line === false ? null : svg('path', {d: 'M1 7H25', stroke: series.colour, 'stroke-width': 2, 'stroke-dasharray': series.dash || 'none'}),
      series.marker ? marker(series.marker, 13, 7, series.colour) : null);
}
const legend = (all) => el('ul', {class: 'legend'}, ...all.map((series) => el('li', {}, swatch(series), series.name)));
const caption = (title, more) => el('figcaption', {}, title, more ? el('small', {}, more) : null);

// ---- axes: {label, domain: [low, high], log?, whole?: only integers, ticks?: [[value, text], ...]}

function ticksOf([low, high], most, whole = false) {
  const rough = Math.max((high - low) / most, whole ? 1 : 0), power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((k) => k * power >= rough * 0.999);
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; ++k) ticks.push(k * step);
  return ticks.map((x) => [x, number(x, 6)]);
}
function decades([low, high], most) {
  const first = Math.ceil(Math.log10(low) - 1e-9), last = Math.floor(Math.log10(high) + 1e-9);
  const every = Math.max(1, Math.ceil((last - first + 1) / most)), ticks = [];
  for (let k = first; k <= last; k += every) ticks.push([10 ** k, number(10 ** k)]);
  return ticks;
}
function extent(values, zero = false) {
  let low = zero ? 0 : Infinity, high = -Infinity;
  for (const v of values) if (Number.isFinite(v)) { low = Math.min(low, v); high = Math.max(high, v); }
  if (high < low) return [0, 1];
  if (high - low < 1e-9 * Math.max(1, Math.abs(high))) return [zero ? Math.min(0, low) : low - 0.5, high + 0.5];
  const room = 0.05 * (high - low);
  return [zero && low === 0 ? 0 : low - room, high + room];
}
// Ends on a round number, so that an axis that follows a slider moves in steps and not with every sample.
const roundUp = (x) => { const p = 10 ** Math.floor(Math.log10(x)); return p * [1, 1.5, 2, 3, 5, 7.5, 10].find((k) => k * p >= x * 0.999999); };

const frame = {left: 54, right: 12, top: 10, bottom: 40};
const widthOf = (figure) => Math.max(240, figure.clientWidth - 30);

// An svg as wide as its figure, with axes; px and py are its coordinates.
function plot(figure, height, x, y, label) {
  const width = widthOf(figure);
  const scale = (axis, from, to) => {
    const f = axis.log ? Math.log10 : (v) => v, [low, high] = axis.domain.map(f);
    return (v) => from + (to - from) * (f(v) - low) / (high - low);
  };
  const px = scale(x, frame.left, width - frame.right), py = scale(y, height - frame.bottom, frame.top);
  const root = svg('svg', {width, height, viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label});
  for (const [value, text] of y.ticks || (y.log ? decades : ticksOf)(y.domain, 5))
    root.append(svg('path', {class: 'gridline', d: `M${frame.left} ${py(value)}H${width - frame.right}`}),
        svg('text', {x: frame.left - 7, y: py(value) + 4, 'text-anchor': 'end'}, text));
  for (const [value, text] of x.ticks || ticksOf(x.domain, width < 380 ? 5 : 8, x.whole))
    root.append(svg('path', {class: 'axis', d: `M${px(value)} ${height - frame.bottom}v4`}),
        svg('text', {x: px(value), y: height - frame.bottom + 17, 'text-anchor': 'middle'}, text));
  root.append(svg('path', {class: 'axis', d: `M${frame.left} ${height - frame.bottom}H${width - frame.right}`}),
      svg('text', {x: (frame.left + width - frame.right) / 2, y: height - 6, 'text-anchor': 'middle'}, x.label),
      svg('text', {transform: `translate(12 ${(frame.top + height - frame.bottom) / 2}) rotate(-90)`, 'text-anchor': 'middle'}, y.label));
  return {root, px, py, width, height};
}
const pathOf = (points, px, py) => {
  let d = '', pen = 'M';
  for (const [x, y] of points) {
    if (!Number.isFinite(y)) { pen = 'M'; continue; }
    d += `${pen}${px(x).toFixed(1)} ${py(y).toFixed(1)}`;
    pen = 'L';
  }
  return d;
};

// Figures and how they are drawn, again and again: at another width, for another choice.
const drawings = [];
function register(figure, draw) {
  drawings.push({figure, draw});
  return figure;
}
// All, or those of the given ids. A hidden one has no width; it is drawn when it shows.
function drawAll(ids = null) {
  for (const {figure, draw} of drawings)
    if (figure.clientWidth > 0 && (ids === null || ids.includes(figure.id))) draw(figure);
}
let drawnWidth = innerWidth;
addEventListener('resize', () => {
  if (innerWidth === drawnWidth) return;
  drawnWidth = innerWidth;
  drawAll();
});

// ---- charts

// Lines with a cursor: the pointer or the arrow keys read values off it. limits: [{name, y}]; at: a point to mark, {name, x, y}.
function lineChart(figure, {title, more, x, y, series, limits = [], at = null, xName = (v) => `${x.label} ${number(v, 6)}`}) {
  const all = series.flatMap((s) => [...s.points, ...(s.faint || []), ...(s.dots || [])]);
  const xAxis = {...x, domain: x.domain || extent(all.map((p) => p[0]))};
  const yAxis = {...y, domain: y.domain || extent([...all.map((p) => p[1]), ...limits.map((l) => l.y)], y.zero)};
  const {root, px, py, width, height} = plot(figure, 250, xAxis, yAxis, `${title}. ${series.map((s) => s.name).join(', ')}`);
  for (const limit of limits) root.append(svg('path', {class: 'limit', d: `M${frame.left} ${py(limit.y)}H${width - frame.right}`}),
      svg('text', {x: width - frame.right - 4, y: py(limit.y) - 5, 'text-anchor': 'end'}, limit.name));
  for (const s of series) {
    if (s.faint) root.append(svg('path', {d: pathOf(s.faint, px, py), fill: 'none', stroke: s.colour, 'stroke-opacity': 0.25}));
    for (const [a, b] of s.dots || []) root.append(svg('circle', {cx: px(a), cy: py(b), r: 3, fill: s.colour, 'fill-opacity': 0.4}));
    root.append(svg('path', {class: 'curve', d: pathOf(s.points, px, py), fill: 'none', stroke: s.colour, 'stroke-width': 2,
      'stroke-linejoin': 'round', 'stroke-dasharray': s.dash || 'none'}));
    if (s.marker && s.points.length <= 40)
      for (const [a, b] of s.points) if (Number.isFinite(b)) root.append(marker(s.marker, px(a), py(b), s.colour, 3.5));
  }
  const readout = el('p', {class: 'readout', 'aria-live': 'polite'});
  const xs = [...new Set(series.flatMap((s) => s.points.map((p) => p[0])))].sort((a, b) => a - b);
  const values = series.map((s) => new Map(s.points));
  const cursor = svg('path', {class: 'cursor', d: ''});
  root.append(cursor);
  let shown = -1;
  const say = (i) => {
    readout.textContent = `${xName(xs[i])}: ` + series.map((s, k) => [s.name, values[k].get(xs[i])])
        .filter(([, v]) => Number.isFinite(v)).map(([name, v]) => `${name} ${number(v)}`).join(' · ');
  };
  const nearest = (place) => xs.reduce((best, v, i) => Math.abs(px(v) - place) < Math.abs(px(xs[best]) - place) ? i : best, 0);
  const show = (i) => {
    shown = Math.max(0, Math.min(xs.length - 1, i));
    cursor.setAttribute('d', `M${px(xs[shown])} ${frame.top}V${height - frame.bottom}`);
    say(shown);
  };
  root.setAttribute('tabindex', '0');
  root.addEventListener('pointermove', (event) => {
    if (xs.length) show(nearest(event.clientX - root.getBoundingClientRect().left));
  });
  root.addEventListener('keydown', (event) => {
    const last = xs.length - 1, next = {ArrowLeft: shown < 0 ? last : shown - 1, ArrowRight: shown + 1, Home: 0, End: last}[event.key];
    if (next === undefined || last < 0) return;
    event.preventDefault();
    show(next);
  });
  if (at) readout.textContent = `${at.name}: ${number(at.y)}`;
  else if (xs.length) say(xs.length - 1);
  if (at) root.append(svg('path', {class: 'cursor', d: `M${px(at.x)} ${frame.top}V${height - frame.bottom}`}),
      marker('circle', px(at.x), py(at.y), at.colour, 5));
  figure.replaceChildren(caption(title, more), legend(series), root, readout);
}

const cutTo = (text, width, letter = 7) => text.length * letter > width ? `${text.slice(0, Math.max(1, Math.floor(width / letter) - 1))}…` : text;

// A row per class, a marker per column. columns: [{name, values, colour, marker}]; notes: a text per row, on the right.
function dotPlot(figure, {title, more, rows, columns, xLabel, domain, notes = []}) {
  const rowHeight = rows.length > 30 ? 14 : 24, top = 6, left = Math.min(140, 14 + 7 * Math.max(...rows.map((r) => r.length), 3));
  const width = widthOf(figure), right = notes.length ? 62 : 14, bottom = 40;
  const height = top + rows.length * rowHeight + bottom, px = (v) => left + (width - left - right) * v / domain[1];
  const root = svg('svg', {width, height, viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': `${title}. ${xLabel} of ${rows.length} classes`});
  for (const [value, text] of ticksOf(domain, width < 380 ? 4 : 6))
    root.append(svg('path', {class: 'gridline', d: `M${px(value)} ${top}V${height - bottom}`}),
        svg('text', {x: px(value), y: height - bottom + 16, 'text-anchor': 'middle'}, text));
  rows.forEach((name, r) => {
    const y = top + (r + 0.5) * rowHeight, values = columns.map((c) => c.values[r]).filter(Number.isFinite);
    const spoken = columns.map((c) => `${c.name} ${number(c.values[r])}`).join(', ');
    root.append(svg('g', {}, svg('title', {}, `${name}: ${spoken}`),
        svg('rect', {x: 0, y: y - rowHeight / 2, width, height: rowHeight, fill: 'transparent'}),
        svg('text', {class: 'row', x: left - 8, y: y + 4, 'text-anchor': 'end'}, cutTo(name, left - 12)),
        values.length ? svg('path', {class: 'axis', d: `M${px(Math.min(...values))} ${y}H${px(Math.max(...values))}`}) : null,
        ...columns.map((c) => Number.isFinite(c.values[r]) ? marker(c.marker, px(c.values[r]), y, c.colour, 4.5) : null),
        notes.length ? svg('text', {x: width - 2, y: y + 4, 'text-anchor': 'end'}, notes[r]) : null));
  });
  root.append(svg('text', {x: (left + width - right) / 2, y: height - 6, 'text-anchor': 'middle'}, xLabel));
  figure.replaceChildren(caption(title, more), legend(columns.map((c) => ({...c, line: false}))), root);
}
