// SPDX-License-Identifier: Apache-2.0
// Frame encoding and decoding; see wire.h for the format.
#include "sandbox/wire.h"

#include "base/error.h"

size_t nx_wire_begin(struct nx_buf *out, enum nx_frame_type type, uint32_t id) {
    const size_t start = out->len;
    const struct nx_frame_header header = {
        .version = NX_WIRE_VERSION, .type = (uint8_t)type, .id = id};
    nx_buf_append(out, &header, sizeof(header));
    return start;
}

int nx_wire_end(struct nx_buf *out, size_t start) {
    int status = out->failed;
    if (status == 0 && out->len - start - sizeof(struct nx_frame_header) > NX_MAX_FRAME_BYTES) {
        status = NX_E_LIMIT;
    }
    if (status != 0) {
        out->len = start;
        out->failed = 0;
        return status;
    }
    const uint32_t bytes = (uint32_t)(out->len - start - sizeof(struct nx_frame_header));
    memcpy(out->data + start + offsetof(struct nx_frame_header, payload_bytes), &bytes,
           sizeof(bytes));
    return 0;
}

// nx_buf_append for the few bytes of an integer, of which a frame has dozens: where there is room
// already (a buffer's capacity never exceeds its maximum), no call is needed.
static inline void put(struct nx_buf *out, const void *value, size_t len) {
    if (out->failed == 0 && out->cap > out->len + len) {
        memcpy(out->data + out->len, value, len);
        out->len += len;
        out->data[out->len] = '\0';
    } else {
        nx_buf_append(out, value, len);
    }
}

void nx_wire_put_u8(struct nx_buf *out, uint8_t value) {
    put(out, &value, sizeof(value));
}

void nx_wire_put_u32(struct nx_buf *out, uint32_t value) {
    put(out, &value, sizeof(value));
}

void nx_wire_put_u64(struct nx_buf *out, uint64_t value) {
    put(out, &value, sizeof(value));
}

void nx_wire_put_bytes(struct nx_buf *out, struct nx_span bytes) {
    if (bytes.len > NX_MAX_FRAME_BYTES) {
        out->failed = NX_E_LIMIT;
        return;
    }
    nx_wire_put_u32(out, (uint32_t)bytes.len);
    nx_buf_append_span(out, bytes);
}

void nx_wire_reader_init(struct nx_wire_reader *r, struct nx_span payload) {
    // An empty payload may come with a null pointer; the arithmetic below wants a real one.
    r->at = payload.len != 0 ? payload.data : "";
    r->end = r->at + payload.len;
    r->failed = false;
}

static inline void get(struct nx_wire_reader *r, void *value, size_t len) {
    if (r->failed || (size_t)(r->end - r->at) < len) {
        r->failed = true;
        memset(value, 0, len);
        return;
    }
    memcpy(value, r->at, len);
    r->at += len;
}

uint8_t nx_wire_get_u8(struct nx_wire_reader *r) {
    uint8_t value;
    get(r, &value, sizeof(value));
    return value;
}

uint32_t nx_wire_get_u32(struct nx_wire_reader *r) {
    uint32_t value;
    get(r, &value, sizeof(value));
    return value;
}

uint64_t nx_wire_get_u64(struct nx_wire_reader *r) {
    uint64_t value;
    get(r, &value, sizeof(value));
    return value;
}

struct nx_span nx_wire_get_bytes(struct nx_wire_reader *r) {
    const uint32_t len = nx_wire_get_u32(r);
    if (r->failed || (size_t)(r->end - r->at) < len) {
        r->failed = true;
        return (struct nx_span){0};
    }
    const struct nx_span bytes = {r->at, len};
    r->at += len;
    return bytes;
}

uint32_t nx_wire_get_count(struct nx_wire_reader *r, uint32_t max, size_t min_item_bytes) {
    const uint32_t count = nx_wire_get_u32(r);
    if (r->failed || count > max || count > (size_t)(r->end - r->at) / min_item_bytes) {
        r->failed = true;
        return 0;
    }
    return count;
}

bool nx_wire_reader_done(const struct nx_wire_reader *r) {
    return !r->failed && r->at == r->end;
}

int nx_wire_next(struct nx_span data, struct nx_frame_header *header, struct nx_span *payload) {
    if (data.len < sizeof(*header)) {
        return 0;
    }
    memcpy(header, data.data, sizeof(*header));
    if (header->version != NX_WIRE_VERSION || header->zero != 0 || header->type < NX_FRAME_CONFIG ||
        header->type > NX_FRAME_LAST || header->payload_bytes > NX_MAX_FRAME_BYTES) {
        return NX_E_PROTOCOL;
    }
    if (data.len - sizeof(*header) < header->payload_bytes) {
        return 0;
    }
    *payload = nx_span_of(data.data + sizeof(*header), header->payload_bytes);
    return 1;
}
