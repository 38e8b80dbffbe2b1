// SPDX-License-Identifier: Apache-2.0
// Executions counted by panel (METRICS_PER_PANEL). The first NX_MAX_METRICS_PANELS panels that are
// alive have series, others begin to have them when one of those is deleted.
#ifndef NX_KERNEL_METRICS_PANELS_H
#define NX_KERNEL_METRICS_PANELS_H

#include "base/buf.h"
#include "kernel/runtime.h"

struct nx_metrics_panels;

struct nx_metrics_panels *nx_metrics_panels_new(void); // NULL: no memory
void nx_metrics_panels_free(struct nx_metrics_panels *panels);

// An execution of `panel` ended. It is not counted while the panel cannot be found (`mount`,
// `unmount`), nor without room or memory for another panel.
void nx_metrics_panels_count(struct nx_metrics_panels *panels, struct nx_runtime *rt,
                             const struct nx_panel *panel, enum nx_exec_status status);
// The panel is gone, and its series with it.
void nx_metrics_panels_forget(struct nx_metrics_panels *panels, const struct nx_panel *panel);

// Appends the family.
void nx_metrics_panels_render(const struct nx_metrics_panels *panels, struct nx_buf *out);

#endif
