// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';

import * as client from '../index.js';
import { tools } from './server.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const declared = readFileSync(path.join(here, '../index.d.ts'), 'utf8');

test('the types hold', () => {
  execFileSync(process.execPath, [tools.resolve('typescript/bin/tsc'), '-p', here], { encoding: 'utf8' });
});

test('what is exported is what is declared', () => {
  const classes = [...declared.matchAll(/^export class (\w+)/gm)].map(([, name]) => name);
  assert.deepEqual(classes.sort(), Object.keys(client).sort());
});

for (const name of ['NexusClient', 'LivePanel'])
  test(`the members of ${name} are those declared`, () => {
    const body = declared.match(new RegExp(`^export class ${name}\\b.*?^}`, 'ms'))[0];
    const members = new Set([...body.matchAll(/^ {2}(?:readonly )?(\w+)[(<:]/gm)].map(([, member]) => member));
    members.add('constructor').delete('ready'); // of the instance
    assert.deepEqual([...members].sort(), Object.getOwnPropertyNames(client[name].prototype).sort());
  });
