// The weights of one batch as optim/exponential_weights.h has them where the batch is all there is (gamma = 1), without the clip.
// A batch: {losses, priors}, priors null where all are 1.

// z = log q + loss / lambda and the log of the mean of exp(z): finite for every lambda but 0.
function tilt({losses, priors}, lambda) {
  const z = losses.map((loss, i) => (priors ? Math.log(priors[i]) : 0) + (Number.isFinite(lambda) ? loss / lambda : 0));
  const most = Math.max(...z);
  return {z, logMean: most + Math.log(z.reduce((sum, v) => sum + Math.exp(v - most), 0) / z.length)};
}

// Effective samples over N, relative to the priors: (sum q e)^2 / (sum q  sum q e^2), e = exp(loss / lambda).
function effectiveShare({losses, priors}, lambda) {
  if (!Number.isFinite(lambda)) return 1;
  const tops = losses.map((loss) => lambda > 0 ? loss : -loss), top = Math.max(...tops.filter((_, i) => !priors || priors[i] > 0));
  let mass = 0, first = 0, second = 0;
  losses.forEach((_, i) => {
    const q = priors ? priors[i] : 1, e = q > 0 ? Math.exp((tops[i] - top) / Math.abs(lambda)) : 0;
    mass += q, first += q * e, second += q * e * e;
  });
  return first / mass * (first / second);
}

// The next lambda that leaves the batch at least `floor` of its samples; by halving log |lambda|, in which the share rises.
function milder(batch, lambda, floor) {
  if (floor === 0 || effectiveShare(batch, lambda) >= floor) return lambda;
  let low = Math.log(1e-3), high = Math.log(1e6);
  for (let step = 0; step < 60; ++step) {
    const middle = (low + high) / 2;
    if (effectiveShare(batch, Math.sign(lambda) * Math.exp(middle)) < floor) low = middle;
    else high = middle;
  }
  return Math.sign(lambda) * Math.exp(high);
}

// {lambda: the one used, logMean, weights: w = q exp(loss / lambda) / mean}
function weigh(batch, lambda, floor) {
  const used = milder(batch, lambda, floor), {z, logMean} = tilt(batch, used);
  return {lambda: used, logMean, weights: z.map((v) => Math.exp(v - logMean))};
}

function effectiveSize(weights) {
  const sum = weights.reduce((a, b) => a + b, 0), squares = weights.reduce((a, b) => a + b * b, 0);
  return sum * sum / squares;
}

// KL(p || q) of p = w / sum w to q, or to equal shares.
function divergence(weights, priors) {
  const sum = weights.reduce((a, b) => a + b, 0), mass = priors ? priors.reduce((a, b) => a + b, 0) : weights.length;
  return Math.max(0, weights.reduce((kl, w, i) => w > 0 ? kl + w / sum * Math.log(w / sum * mass / (priors ? priors[i] : 1)) : kl, 0));
}

// The slider's places: 0 is infinity, and outwards |lambda| falls by equal factors from 100 to 0.05.
const largest = 100, smallest = 0.05;
const lambdaAt = (place) => place === 0 ? Infinity : Math.sign(place) * largest * (smallest / largest) ** ((Math.abs(place) - 1) / 99);
const placeOf = (lambda) => !Number.isFinite(lambda) ? 0
  : Math.sign(lambda) * Math.max(1, Math.min(100, 1 + 99 * Math.log(Math.abs(lambda) / largest) / Math.log(smallest / largest)));
const lambdaText = (lambda) => Number.isFinite(lambda) ? number(lambda) : '∞';
const lambdaTicks = [-0.1, -1, -10, Infinity, 10, 1, 0.1].map((lambda) => [placeOf(lambda), lambdaText(lambda)]);
const lambdaAxis = {label: 'λ', domain: [-100, 100], ticks: lambdaTicks};
