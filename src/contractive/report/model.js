"use strict";

// The mathematics of the playground: a dense auto-encoder, its Jacobian's norm and its tangents. Nothing here touches
// the document; `playground.js` does.
const contractive = (() => {
  const sigmoid = (a) => 1 / (1 + Math.exp(-a));

  // A Chebyshev fit with a relative error below 1.2e-7 everywhere, as float32 has (Numerical Recipes, section 6.2).
  function erfc(x) {
    const z = Math.abs(x);
    const t = 1 / (1 + z / 2);
    const tail = [0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807, -0.18628806, 0.09678418, 0.37409196,
      1.00002368, -1.26551223].reduce((sum, coefficient) => sum * t + coefficient);
    const value = t * Math.exp(-z * z + tail);
    return x >= 0 ? value : 2 - value;
  }

  const normalCdf = (a) => erfc(-a / Math.SQRT2) / 2;
  const normalPdf = (a) => Math.exp(-a * a / 2) / Math.sqrt(2 * Math.PI);

  // s(a), and s'(a) from a and h = s(a).
  const ACTIVATIONS = {
    sigmoid: { value: sigmoid, slope: (a, h) => h * (1 - h) },
    tanh: { value: Math.tanh, slope: (a, h) => 1 - h * h },
    relu: { value: (a) => (a > 0 ? a : 0), slope: (a) => (a > 0 ? 1 : 0) },
    softplus: { value: (a) => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a))), slope: sigmoid },
    gelu: { value: (a) => a * normalCdf(a), slope: (a) => normalCdf(a) + a * normalPdf(a) },
    linear: { value: (a) => a, slope: () => 1 },
  };

  const LOSSES = {
    squared_error: (x, z) => x.reduce((sum, value, j) => sum + (value - z[j]) ** 2, 0),
    // log(1 + exp(z)) - x z with z the logits: no logarithm of zero.
    cross_entropy: (x, z) =>
      x.reduce((sum, value, j) => sum + Math.max(z[j], 0) + Math.log1p(Math.exp(-Math.abs(z[j]))) - value * z[j], 0),
  };

  // Float32 values of a text of base64; every machine that runs browsers stores the low byte first.
  function readFloats(text) {
    const bytes = Uint8Array.from(atob(text.trim()), (character) => character.charCodeAt(0));
    return new Float32Array(bytes.buffer);
  }

  // A layer as products of matrices want it: `rows` times `columns` numbers, one row after the other.
  function readLayer(layer, floats) {
    const size = layer.n_in * layer.n_out;
    return {
      weight: floats.subarray(layer.weight, layer.weight + size),
      bias: floats.subarray(layer.bias, layer.bias + layer.n_out),
      transposed: layer.transposed,
      nIn: layer.n_in,
      nOut: layer.n_out,
      activation: ACTIVATIONS[layer.activation],
    };
  }

  // The model of `describe_model`: its description and the base64 text of its arrays.
  function readModel(description, text) {
    const floats = readFloats(text);
    const encoder = description.encoder.map((layer) => readLayer(layer, floats));
    const decoder = description.decoder.map((layer) => readLayer(layer, floats));
    const nFeatures = encoder[0].nIn;
    const nHidden = encoder[encoder.length - 1].nOut;
    return { encoder, decoder, error: LOSSES[description.loss], nFeatures, nHidden, prepared: {} };
  }

  // out[k] = M v[k] for a matrix of `nRows` rows; three vectors at a time, so that M is read a third as often.
  function timesRows(matrix, nRows, nColumns, vectors, outs) {
    let k = 0;
    for (; k + 3 <= vectors.length; k += 3) {
      const [u, v, w] = vectors.slice(k, k + 3);
      const [p, q, r] = outs.slice(k, k + 3);
      for (let i = 0, at = 0; i < nRows; i++) {
        let a = 0, b = 0, c = 0;
        for (let j = 0; j < nColumns; j++, at++) {
          const entry = matrix[at];
          a += entry * u[j];
          b += entry * v[j];
          c += entry * w[j];
        }
        p[i] = a;
        q[i] = b;
        r[i] = c;
      }
    }
    for (; k < vectors.length; k++) {
      const v = vectors[k], out = outs[k];
      for (let i = 0, at = 0; i < nRows; i++) {
        let sum = 0;
        for (let j = 0; j < nColumns; j++, at++) sum += matrix[at] * v[j];
        out[i] = sum;
      }
    }
  }

  // out[k] = M^T v[k], likewise.
  function timesColumns(matrix, nRows, nColumns, vectors, outs) {
    for (const out of outs) out.fill(0);
    let k = 0;
    for (; k + 3 <= vectors.length; k += 3) {
      const [u, v, w] = vectors.slice(k, k + 3);
      const [p, q, r] = outs.slice(k, k + 3);
      for (let i = 0, at = 0; i < nRows; i++) {
        const a = u[i], b = v[i], c = w[i];
        for (let j = 0; j < nColumns; j++, at++) {
          const entry = matrix[at];
          p[j] += a * entry;
          q[j] += b * entry;
          r[j] += c * entry;
        }
      }
    }
    for (; k < vectors.length; k++) {
      const v = vectors[k], out = outs[k];
      for (let i = 0, at = 0; i < nRows; i++) {
        const factor = v[i];
        for (let j = 0; j < nColumns; j++, at++) out[j] += factor * matrix[at];
      }
    }
  }

  const blank = (count, length) => Array.from({ length: count }, () => new Float64Array(length));

  // a = W x + b of one layer.
  function affine(layer, x) {
    const out = new Float64Array(layer.nOut);
    if (layer.transposed) timesColumns(layer.weight, layer.nIn, layer.nOut, [x], [out]);
    else timesRows(layer.weight, layer.nOut, layer.nIn, [x], [out]);
    for (let i = 0; i < out.length; i++) out[i] += layer.bias[i];
    return out;
  }

  // The code h = f(x), and the slopes s'(a) of each layer, of which the Jacobian is made.
  function encode(model, x) {
    let code = Float64Array.from(x);
    const slopes = [];
    for (const layer of model.encoder) {
      const a = affine(layer, code);
      code = a.map(layer.activation.value);
      slopes.push(a.map((value, i) => layer.activation.slope(value, code[i])));
    }
    return { code, slopes };
  }

  // The reconstruction r = g(h), and z, the decoder before its output nonlinearity.
  function decode(model, code) {
    let h = code, z = code;
    for (const layer of model.decoder) {
      z = affine(layer, h);
      h = z.map(layer.activation.value);
    }
    return { reconstruction: h, output: z };
  }

  const reconstruct = (model, x) => decode(model, encode(model, x).code).reconstruction;

  // Everything but what needs many products: code, slopes, reconstruction and its error L(x, r).
  function forward(model, x) {
    const { code, slopes } = encode(model, x);
    const { reconstruction, output } = decode(model, code);
    return { code, slopes, reconstruction, error: model.error(Float64Array.from(x), output) };
  }

  // J v[k] = S_L W_L ... S_1 W_1 v[k], and J^T u[k].
  function push(model, slopes, vectors) {
    model.encoder.forEach((layer, number) => {
      const outs = blank(vectors.length, layer.nOut);
      timesRows(layer.weight, layer.nOut, layer.nIn, vectors, outs);
      for (const out of outs) for (let i = 0; i < out.length; i++) out[i] *= slopes[number][i];
      vectors = outs;
    });
    return vectors;
  }

  function pull(model, slopes, vectors) {
    for (let number = model.encoder.length - 1; number >= 0; number--) {
      const layer = model.encoder[number];
      const scaled = vectors.map((vector) => vector.map((value, i) => value * slopes[number][i]));
      const outs = blank(vectors.length, layer.nIn);
      timesColumns(layer.weight, layer.nOut, layer.nIn, scaled, outs);
      vectors = outs;
    }
    return vectors;
  }

  function squaredRows(model) {
    const { weight, nIn, nOut } = model.encoder[0];
    model.prepared.squaredRows ??= Float64Array.from({ length: nOut }, (_, i) =>
      weight.subarray(i * nIn, (i + 1) * nIn).reduce((sum, value) => sum + value * value, 0));
    return model.prepared.squaredRows;
  }

  // G = W W^T of one layer, where it makes products with J J^T cheaper than W itself does; else null.
  function gramMatrix(model) {
    const { weight, nIn, nOut } = model.encoder[0];
    if (model.encoder.length > 1 || nOut >= 2 * nIn || nOut > 1024) return null;
    if (model.prepared.gram === undefined) {
      const gram = new Float32Array(nOut * nOut);
      for (let i = 0; i < nOut; i++) {
        const row = Float64Array.from(weight.subarray(i * nIn, (i + 1) * nIn));
        const products = new Float64Array(i + 1);
        timesRows(weight, i + 1, nIn, [row], [products]);
        for (let j = 0; j <= i; j++) gram[i * nOut + j] = gram[j * nOut + i] = products[j];
      }
      model.prepared.gram = gram;
    }
    return model.prepared.gram;
  }

  // J J^T u[k].
  function pullAndPush(model, slopes, vectors) {
    const gram = gramMatrix(model);
    if (gram === null) return push(model, slopes, pull(model, slopes, vectors));
    const [slope] = slopes;
    const scaled = vectors.map((vector) => vector.map((value, i) => value * slope[i]));
    const outs = blank(vectors.length, model.nHidden);
    timesRows(gram, model.nHidden, model.nHidden, scaled, outs);
    for (const out of outs) for (let i = 0; i < out.length; i++) out[i] *= slope[i];
    return outs;
  }

  // ||J||_F of one layer: sqrt(sum_i s'_i^2 ||W_i||^2). Null for several, which `jacobianSquare` adds up row by row.
  function jacobianNorm(model, slopes) {
    if (model.encoder.length > 1) return null;
    const squares = squaredRows(model);
    return Math.sqrt(slopes[0].reduce((sum, slope, i) => sum + slope * slope * squares[i], 0));
  }

  // The sum of the squares of the rows `from` to `to` of J.
  function jacobianSquare(model, slopes, from, to) {
    const units = [];
    for (let i = from; i < to; i++) {
      const unit = new Float64Array(model.nHidden);
      unit[i] = 1;
      units.push(unit);
    }
    return pull(model, slopes, units).reduce((sum, row) => sum + dot(row, row), 0);
  }

  function dot(u, v) {
    let sum = 0;
    for (let i = 0; i < u.length; i++) sum += u[i] * v[i];
    return sum;
  }

  function scale(vector, factor) {
    for (let i = 0; i < vector.length; i++) vector[i] *= factor;
    return vector;
  }

  // What is left of a vector beside orthonormal ones, of length 1; null where nothing is. Each projection twice.
  function beside(basis, vector) {
    const before = Math.sqrt(dot(vector, vector));
    if (!(before > 0)) return null;
    scale(vector, 1 / before);
    for (let pass = 0; pass < 2; pass++) {
      for (const other of basis) {
        const share = dot(other, vector);
        for (let i = 0; i < vector.length; i++) vector[i] -= share * other[i];
      }
      const left = Math.sqrt(dot(vector, vector));
      if (left < 1e-10) return null;
      scale(vector, 1 / left);
    }
    return vector;
  }

  // Eigenvalues, the largest first, and eigenvectors of a small symmetric matrix, by Jacobi's rotations.
  function eigenvectors(matrix) {
    const n = matrix.length;
    const a = matrix.map((row) => Float64Array.from(row));
    const vectors = matrix.map((_, i) => Float64Array.from({ length: n }, (_, j) => (i === j ? 1 : 0)));
    for (let sweep = 0; sweep < 30; sweep++) {
      let off = 0, all = 0;
      for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) {
        all += a[i][j] ** 2;
        if (i !== j) off += a[i][j] ** 2;
      }
      if (off <= 1e-30 * all) break;
      for (let p = 0; p < n; p++) for (let q = p + 1; q < n; q++) rotate(a, vectors, p, q);
    }
    const order = Array.from({ length: n }, (_, i) => i).sort((i, j) => a[j][j] - a[i][i]);
    return { values: order.map((i) => a[i][i]), vectors: order.map((i) => vectors.map((row) => row[i])) };
  }

  function rotate(a, vectors, p, q) {
    if (a[p][q] === 0) return;
    const theta = (a[q][q] - a[p][p]) / (2 * a[p][q]);
    const t = (theta >= 0 ? 1 : -1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
    const c = 1 / Math.sqrt(t * t + 1), s = t * c;
    for (const row of a) [row[p], row[q]] = [c * row[p] - s * row[q], s * row[p] + c * row[q]];
    for (let i = 0; i < a.length; i++) {
      const x = a[p][i], y = a[q][i];
      a[p][i] = c * x - s * y;
      a[q][i] = s * x + c * y;
    }
    for (const row of vectors) [row[p], row[q]] = [c * row[p] - s * row[q], s * row[p] + c * row[q]];
  }

  // A start that is the same each time.
  function startVectors(count, length) {
    let seed = 1;
    const next = () => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return seed / 2 ** 31 - 1;
    };
    return Array.from({ length: count }, () => Float64Array.from({ length }, next));
  }

  const SPARE = 1; // vectors of a block beyond those asked for
  const DEPTH = 3; // blocks of the Krylov space
  const TOLERANCE = 1e-7; // of J J^T u - sigma^2 u, in units of the largest sigma^2

  // The leading left singular vectors of J from frame to frame: each `refine` takes the best ones within the Krylov
  // space K, J J^T K, (J J^T)^2 K of the last ones, so that a small change of x costs a step or two.
  function tangentSolver(model, count) {
    const width = Math.min(count + SPARE, model.nHidden);
    let current = startVectors(width, model.nHidden);

    function refine(slopes) {
      const basis = [], images = [];
      let block = [...current, ...startVectors(width - current.length, model.nHidden)];
      for (let step = 0; step < DEPTH && block.length; step++) {
        const fresh = [];
        for (const vector of block) {
          const left = beside([...basis, ...fresh], vector);
          if (left !== null) fresh.push(left);
        }
        const products = pullAndPush(model, slopes, fresh);
        basis.push(...fresh);
        images.push(...products);
        block = products.map((vector) => vector.slice());
      }
      const small = basis.map((u) => images.map((v) => dot(u, v)));
      const { values, vectors } = eigenvectors(small);
      const kept = Math.min(width, basis.length);
      const combine = (parts, weights) => {
        const sum = new Float64Array(model.nHidden);
        parts.forEach((part, k) => { for (let i = 0; i < sum.length; i++) sum[i] += weights[k] * part[i]; });
        return sum;
      };
      current = vectors.slice(0, kept).map((weights) => combine(basis, weights));
      const residuals = current.slice(0, count).map((u, k) => {
        const image = combine(images, vectors[k]);
        return Math.sqrt(image.reduce((sum, value, i) => sum + (value - values[k] * u[i]) ** 2, 0));
      });
      return { isConverged: Math.max(...residuals) <= TOLERANCE * Math.max(values[0], 0), left: current.slice(0, count) };
    }
    return { refine };
  }

  // Right singular vectors J^T u / sigma and sigma, from left ones; of each the largest entry is positive. A direction
  // that J does not answer to has sigma 0 and is zero.
  function tangentsOf(model, slopes, left) {
    const found = pull(model, slopes, left).map((vector) => ({ vector, value: Math.sqrt(dot(vector, vector)) }));
    found.sort((one, other) => other.value - one.value);
    for (const tangent of found) {
      const isNone = !(tangent.value > 1e-6 * found[0].value);
      let largest = 0;
      for (const entry of tangent.vector) if (Math.abs(entry) > Math.abs(largest)) largest = entry;
      scale(tangent.vector, isNone ? 0 : Math.sign(largest) / tangent.value);
      if (isNone) tangent.value = 0;
    }
    return found;
  }

  // All numbers at x, the tangents to convergence.
  function analyse(model, x, count) {
    const { code, slopes, reconstruction, error } = forward(model, x);
    const solver = tangentSolver(model, count);
    let step = solver.refine(slopes);
    for (let tries = 0; tries < 500 && !step.isConverged; tries++) step = solver.refine(slopes);
    const tangents = tangentsOf(model, slopes, step.left);
    const norm = jacobianNorm(model, slopes) ?? Math.sqrt(jacobianSquare(model, slopes, 0, model.nHidden));
    return { code, reconstruction, error, norm, tangents, isConverged: step.isConverged };
  }

  return {
    analyse, encode, forward, gramMatrix, jacobianNorm, jacobianSquare, readFloats, readModel, reconstruct,
    tangentSolver, tangentsOf,
  };
})();
window.contractive = contractive;
