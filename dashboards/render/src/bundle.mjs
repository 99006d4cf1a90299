// Bundles the page with its React, Grafana and fonts into one script and one style sheet.
// Never touches the network: everything comes from node_modules.

import { fileURLToPath } from 'node:url';
import path from 'node:path';
import * as esbuild from 'esbuild';

const HERE = path.dirname(fileURLToPath(import.meta.url));

/** Heavy parts that no panel here shows: a code editor and maps. Using one throws. */
export const unused = {
  name: 'unused',
  setup(build) {
    build.onResolve({ filter: /^(monaco-editor|ol)(\/.*)?$/ }, ({ path }) => ({ path, namespace: 'unused' }));
    build.onLoad({ filter: /.*/, namespace: 'unused' }, ({ path }) => ({
      contents: `module.exports = new Proxy(function () {}, {
        get: (_, name) => (name === '__esModule' ? false : module.exports),
        construct: () => { throw new Error(${JSON.stringify(`${path} is not in this bundle`)}); },
        apply: () => { throw new Error(${JSON.stringify(`${path} is not in this bundle`)}); },
      });`,
      loader: 'js',
    }));
  },
};

/** Writes page.js and page.css into `folder`. */
export async function bundle(folder) {
  await esbuild.build({
    entryPoints: { page: path.join(HERE, 'page/main.jsx') },
    outdir: folder,
    bundle: true,
    format: 'iife',
    platform: 'browser',
    target: 'chrome120',
    jsx: 'automatic',
    minifySyntax: true,
    logLevel: 'error',
    define: { 'process.env.NODE_ENV': '"production"', global: 'globalThis' },
    plugins: [unused],
    loader: { '.svg': 'dataurl' },
  });
}
