# SPDX-License-Identifier: Apache-2.0
"""What scripts/check-manifests.py is made of: reading manifests, and the items it holds them against."""
