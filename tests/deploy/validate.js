// SPDX-License-Identifier: Apache-2.0
// Validates Kubernetes objects against the API's schemas, and one thing that the schemas leave open:
// a field that the API does not have (a slip of the pen in a hardening line would pass unnoticed).
//
// standard input: a JSON array of objects. standard output: one line for each finding, first the place
// of its object in the array, then a tab. The packages are in NODE_PATH.
"use strict";

const packages = {"monitoring.coreos.com/v1": "@kubernetes-models/prometheus-operator/"};

// A view of `value` that notes in `seen` which members were asked for. The validators ask for each
// field they know, and for every member of a map: what nobody asked for is no field.
function watched(value, path, seen) {
    if (value === null || typeof value !== "object")
        return value;
    const asked = new Set(), inside = new Map();
    seen.push({value, path, asked});
    return new Proxy(value, {
        get(target, key, receiver) {
            asked.add(key);
            if (!inside.has(key))
                inside.set(key, watched(Reflect.get(target, key, receiver), `${path}/${String(key)}`, seen));
            return inside.get(key);
        },
    });
}

function findings(object) {
    const name = `${object.kind} ${object.metadata?.name}`;
    let model;
    try {
        const place = packages[object.apiVersion] ?? "kubernetes-models/";
        model = require(`${place}${object.apiVersion}/${object.kind}`)[object.kind];
    } catch {
        return [`${name}: there is no ${object.kind} in ${object.apiVersion}`];
    }
    const found = [], seen = [];
    try {
        model.prototype.validate.call(watched(new model(object), "", seen));
    } catch (error) {
        for (const one of error.errors ?? [error])
            found.push(`${name}: ${one.instancePath ?? ""} ${one.message ?? one.keyword}`);
    }
    for (const {value, path, asked} of seen)
        if (!Array.isArray(value))
            for (const key of Object.keys(value))
                if (!asked.has(key))
                    found.push(`${name}: ${path}/${key} is not a field of the API`);
    return found;
}

const objects = JSON.parse(require("fs").readFileSync(0, "utf8"));
objects.forEach((object, place) => findings(object).forEach(line => console.log(`${place}\t${line}`)));
