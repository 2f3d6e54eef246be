#include "kernels/binary/generic.h"
