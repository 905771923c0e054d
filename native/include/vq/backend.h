/* The interface between the core and a device library that is opened at run time (libvq_cuda.so). Plain C: a library and
 * an addon that were built by different compilers meet here. A library exports one function, vq_backend_open.
 *
 * Every call that can fail returns a vq_code; the text of a thread's last failure is in last_error. Calls may come from any
 * thread; those on one context run one after another. Quantization calls end when their results are there. */
#ifndef VQ_BACKEND_H
#define VQ_BACKEND_H
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VQ_BACKEND_VERSION 3u

typedef enum vq_code {
  VQ_OK = 0,
  /* as vq::Error::Code, plus one */
  VQ_ERROR_SHAPE = 1,
  VQ_ERROR_CONFIG = 2,
  VQ_ERROR_DEVICE = 3,
  VQ_ERROR_MEMORY = 4,
  VQ_ERROR_VALUE = 5,
  VQ_ERROR_STOPPED = 6,        /* the call's `stop` said so */
  VQ_ERROR_NOT_IMPLEMENTED = 7,
  /* why there is no device */
  VQ_ERROR_NO_DRIVER = 20,
  VQ_ERROR_OLD_DRIVER = 21,
  VQ_ERROR_NO_DEVICE = 22,
  VQ_ERROR_OLD_DEVICE = 23
} vq_code;

typedef struct vq_context vq_context; /* one device; everything below belongs to one */
typedef struct vq_buffer vq_buffer;
typedef struct vq_stream vq_stream; /* NULL: the context's own */
typedef struct vq_event vq_event;

/* CUDA's version numbers: 1000 * major + 10 * minor. driver is 0 where there is none. */
typedef struct vq_versions {
  int32_t driver, runtime;
} vq_versions;

/* What scores large calls of nearest on the tensor cores: not used yet, or there is none; mma; wgmma; mma though the device
 * has wgmma, because when first used the two did not agree. */
enum { VQ_SCAN_UNKNOWN = 0, VQ_SCAN_MMA = 1, VQ_SCAN_WGMMA = 2, VQ_SCAN_REFUSED = -1 };

typedef struct vq_device_info {
  char name[256];
  int32_t compute_major, compute_minor;
  int32_t processors;           /* multiprocessors */
  int32_t scan;                 /* VQ_SCAN_… */
  uint64_t memory;              /* bytes */
} vq_device_info;

typedef struct vq_memory {
  uint64_t total, free;         /* of the device */
  uint64_t in_use, peak;        /* bytes of live buffers of this context, and the most so far */
  uint64_t buffers;
} vq_memory;

/* What every quantization call takes. */
typedef struct vq_call {
  vq_stream* stream;
  int (*stop)(void* user);      /* asked between launches; not 0 ends the call with VQ_ERROR_STOPPED. May be NULL. */
  void* user;
} vq_call;

enum { VQ_L2 = 0, VQ_COSINE = 1, VQ_DOT = 2 };
/* How: the device chooses; every score in float32; through the tensor cores where the device can; the same by the
 * instructions that every device with bfloat16 products has. Results are the same. */
enum { VQ_ROUTE_AUTO = 0, VQ_ROUTE_FULL = 1, VQ_ROUTE_FILTER = 2, VQ_ROUTE_FILTER_MMA = 3 };

/* The contracts of vq/quantize.h, on device buffers: row-major float32, int32 codes. After an error the contents of the
 * outputs are undefined, except that ema_update has then written nothing.
 *
 * nearest, residual_encode and kmeans also take rows that are in host memory, where `x` is NULL and `host_x` is not; results
 * per row, but for those of kmeans, then go to host memory too. Rows that would fill more than half of the free device memory
 * pass through it in blocks, the next one travelling while one is worked on; the results are the same to the bit. block_rows
 * forces blocks of about that many rows (a multiple of 512 is used); 0 leaves the choice to the call. */
typedef struct vq_nearest_args {
  int64_t n, k, dim;
  int32_t metric, route;
  const vq_buffer *x, *codebook;      /* [n, dim], [k, dim] */
  vq_buffer *indices, *distances;     /* [n], [n] or NULL */
  const float* host_x;
  int32_t* host_indices;
  float* host_distances;              /* or NULL */
  int64_t block_rows;
} vq_nearest_args;

typedef struct vq_ema_args {
  int64_t n, k, dim;
  double decay, epsilon;
  const vq_buffer *x, *indices;                    /* [n, dim], [n]: -1 leaves a row out */
  const vq_buffer *codebook, *counts, *sums;       /* [k, dim], [k], [k, dim] */
  vq_buffer *codebook_out, *counts_out, *sums_out; /* may be the inputs */
} vq_ema_args;

typedef struct vq_residual_args {
  int64_t n, dim;
  int32_t levels, beam;               /* beam: from 1 to 1024 */
  const vq_buffer* x;                 /* [n, dim] */
  const vq_buffer* const* codebooks;  /* levels of them, [sizes[level], dim] */
  const int64_t* sizes;
  vq_buffer* codes;                   /* [n, levels] */
  vq_buffer *quantized, *errors;      /* [n, dim], [n]; each may be NULL */
  vq_buffer* level_errors;            /* [n, levels], squared norm of what each level leaves, or NULL */
  const float* host_x;
  int32_t* host_codes;
  float *host_quantized, *host_errors, *host_level_errors; /* each may be NULL */
  int64_t block_rows;
} vq_residual_args;

enum { VQ_INIT_RANDOM = 0, VQ_INIT_PLUS_PLUS = 1, VQ_INIT_GIVEN = 2 };

typedef struct vq_kmeans_args {
  int64_t n, k, dim;
  int32_t iterations, init;
  double tolerance;
  uint64_t seed;
  int32_t spherical, reserved;
  const vq_buffer *x, *weights;       /* [n, dim], [n] or NULL */
  const vq_buffer* start;             /* [k, dim] where init is VQ_INIT_GIVEN */
  vq_buffer *centroids, *assignments; /* [k, dim], [n] */
  void (*progress)(void* user, int32_t iteration, double inertia); /* user: that of vq_call. May be NULL. */
  double inertia;                     /* results from here on */
  int32_t converged, history_size;
  double* history;                    /* room for iterations + 1 inertias, or NULL */
  const float* host_x;
  int64_t block_rows;
} vq_kmeans_args;

enum { VQ_STRAIGHT_THROUGH = 0, VQ_ROTATION = 1, VQ_PROJECTION = 2 };

typedef struct vq_estimator_args {
  int64_t n, dim;
  int32_t estimator, reserved;
  const vq_buffer *z, *q, *g;         /* [n, dim] each; g is the gradient of q */
  vq_buffer* out;                     /* [n, dim], that of z; may be g */
} vq_estimator_args;

/* Codes that begin anew: codebook[codes[i]] = x[rows[i]], counts = fresh, sums = fresh x. The codes differ from each other. */
typedef struct vq_replace_args {
  int64_t n, k, dim, count;
  float fresh;
  int32_t reserved;
  const vq_buffer *x, *codes, *rows;  /* [n, dim], [count], [count] */
  vq_buffer *codebook, *counts, *sums; /* [k, dim], [k], [k, dim] or NULL */
} vq_replace_args;

/* Quantizers without a codebook: the contracts of vq/codes.h. Levels are host memory, [dim], from 2 to 65536, their product at
 * most 2^31 - 1. Outputs differ from inputs, but gradients may take the place of g. */
enum { VQ_FSQ_ORIGINAL = 0, VQ_FSQ_SYMMETRIC = 1 };

typedef struct vq_fsq_args {
  int64_t n, dim;                     /* dim: from 1 to 31 */
  int32_t bound, reserved;
  const int32_t* levels;
  const vq_buffer* z;                 /* [n, dim] */
  vq_buffer* indices;                 /* [n] or NULL */
  vq_buffer *quantized, *bounded;     /* [n, dim] each or NULL; bounded: what is rounded, on the scale of the values */
} vq_fsq_args;

typedef struct vq_fsq_gradient_args {
  int64_t n, dim;
  int32_t bound, reserved;
  const int32_t* levels;
  const vq_buffer *z, *g;             /* [n, dim] each; g is the gradient of the values */
  vq_buffer* out;                     /* [n, dim], that of z */
} vq_fsq_gradient_args;

typedef struct vq_fsq_decode_args {
  int64_t n, dim;
  int32_t bound, reserved;
  const int32_t* levels;
  const vq_buffer* indices;           /* [n] */
  vq_buffer* out;                     /* [n, dim] */
} vq_fsq_decode_args;

typedef struct vq_lfq_args {
  int64_t n, bits;                    /* bits: from 1 to 31 */
  float scale;
  int32_t reserved;
  const vq_buffer* z;                 /* [n, bits] */
  vq_buffer *indices, *quantized;     /* [n], [n, bits]; each may be NULL */
} vq_lfq_args;

typedef struct vq_lfq_decode_args {
  int64_t n, bits;
  float scale;
  int32_t reserved;
  const vq_buffer* indices;           /* [n] */
  vq_buffer* out;                     /* [n, bits] */
} vq_lfq_decode_args;

/* bits from 1 to 4096 in groups of `group`, 1 to 26, the last of which may have fewer. */
typedef struct vq_lfq_entropy_args {
  int64_t n, bits, group;             /* n: at least 1 */
  float kappa;
  int32_t reserved;
  const vq_buffer* z;                 /* [n, bits] */
  vq_buffer *entropy, *diversity;     /* [1] each */
  vq_buffer* table;                   /* one of 2^(bits of the group) behind the other, for the gradient */
} vq_lfq_entropy_args;

typedef struct vq_lfq_entropy_gradient_args {
  int64_t n, bits, group;
  float kappa, by_entropy, by_diversity;
  int32_t reserved;
  const vq_buffer *z, *table;
  vq_buffer* out;                     /* [n, bits] */
} vq_lfq_entropy_gradient_args;

typedef struct vq_backend {
  uint32_t version; /* first in every version */
  uint32_t size;    /* of this table */
  const char* name;

  const char* (*last_error)(void);
  /* Fails with one of the codes from 20 on where no device can be used at all; `versions` is filled in any case. */
  int (*device_count)(int32_t* count, vq_versions* versions);
  int (*device_info)(int32_t device, vq_device_info* info);

  int (*context_create)(int32_t device, vq_context** context);
  void (*context_destroy)(vq_context* context); /* after everything of it is gone */
  int (*memory)(vq_context* context, vq_memory* memory);

  int (*buffer_create)(vq_context* context, uint64_t bytes, vq_buffer** buffer);
  /* Does not wait for calls that run meanwhile, so none of them may be on this buffer. */
  void (*buffer_destroy)(vq_buffer* buffer);
  uint64_t (*buffer_bytes)(const vq_buffer* buffer);
  /* Ranges are checked. upload and download end when the host's memory is free again, copy is only enqueued. */
  int (*upload)(vq_buffer* to, uint64_t offset, const void* from, uint64_t bytes, vq_stream* stream);
  int (*download)(const vq_buffer* from, uint64_t offset, void* to, uint64_t bytes, vq_stream* stream);
  int (*copy)(vq_buffer* to, uint64_t to_offset, const vq_buffer* from, uint64_t from_offset, uint64_t bytes,
              vq_stream* stream);

  int (*stream_create)(vq_context* context, vq_stream** stream);
  void (*stream_destroy)(vq_stream* stream);
  int (*stream_synchronize)(vq_context* context, vq_stream* stream);
  int (*event_create)(vq_context* context, vq_event** event);
  void (*event_destroy)(vq_event* event);
  int (*event_record)(vq_event* event, vq_stream* stream);
  int (*event_elapsed)(vq_event* from, vq_event* to, float* milliseconds); /* waits for `to` */

  int (*nearest)(vq_context* context, const vq_nearest_args* args, const vq_call* call);
  int (*ema_update)(vq_context* context, const vq_ema_args* args, const vq_call* call);
  int (*residual_encode)(vq_context* context, const vq_residual_args* args, const vq_call* call);
  int (*kmeans)(vq_context* context, vq_kmeans_args* args, const vq_call* call);
  int (*estimator_gradient)(vq_context* context, const vq_estimator_args* args, const vq_call* call);
  int (*replace_rows)(vq_context* context, const vq_replace_args* args, const vq_call* call);

  /* One kernel of the training backend by name, as the CPU's op table has them. In this version every name gives
   * VQ_ERROR_NOT_IMPLEMENTED. */
  int (*run)(vq_context* context, const char* op, double* args, int32_t count, vq_stream* stream);

  int (*fsq_encode)(vq_context* context, const vq_fsq_args* args, const vq_call* call);
  int (*fsq_gradient)(vq_context* context, const vq_fsq_gradient_args* args, const vq_call* call);
  int (*fsq_decode)(vq_context* context, const vq_fsq_decode_args* args, const vq_call* call);
  int (*lfq_encode)(vq_context* context, const vq_lfq_args* args, const vq_call* call);
  int (*lfq_decode)(vq_context* context, const vq_lfq_decode_args* args, const vq_call* call);
  int (*lfq_entropy)(vq_context* context, const vq_lfq_entropy_args* args, const vq_call* call);
  int (*lfq_entropy_gradient)(vq_context* context, const vq_lfq_entropy_gradient_args* args, const vq_call* call);
} vq_backend;

/* The table of `version`, or NULL where the library does not speak it. Version 0 gives the library's newest table, of
 * which only `version` may be read: so a refusal can be explained. */
typedef const vq_backend* (*vq_backend_open_function)(uint32_t version);
#define VQ_BACKEND_OPEN "vq_backend_open"

#ifdef __cplusplus
}
#endif
#endif
