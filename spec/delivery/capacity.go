//go:build !traces

package delivery

// The capacity of a State. As it is fixed, a State is comparable, can be a map key, and
// is copied without an allocation. It is enough for all states of a small model or, with
// the build tag traces, for one trace of a producer.
const (
	maxPartitions = 2
	maxMessages   = 4 // all partitions together
	maxIDs        = 2
	maxLog        = 4   // batches in a log
	maxLate       = 8   // requests that have outlived their connection
	maxNumber     = 100 // the largest epoch, sequence number or count
)

// Capacity is how many messages a State has room for, and CapacityIDs how many producer ids.
const (
	Capacity    = maxMessages
	CapacityIDs = maxIDs
)

// Number is an epoch, or a sequence number.
type Number = int8

// Set is a set of messages of one partition.
type Set uint8
