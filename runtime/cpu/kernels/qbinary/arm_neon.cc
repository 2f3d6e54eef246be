#include "kernels/qbinary/generic.h"
