#include "kernels/topk/generic.h"
