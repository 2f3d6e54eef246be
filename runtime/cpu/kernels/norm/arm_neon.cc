#include "kernels/norm/generic.h"
