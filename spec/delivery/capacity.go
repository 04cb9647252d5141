//go:build !traces

package delivery

// The capacity of a State. It is fixed, so that a State is comparable, a map key,
// and copied without allocating: what all states of a small model take, or, with the
// build tag traces, one trace of a producer.
const (
	maxPartitions = 2
	maxMessages   = 4 // all partitions together
	maxIDs        = 2
	maxLog        = 4   // batches in a log
	maxLate       = 8   // requests that have outlived their connection
	maxNumber     = 100 // of an epoch, a sequence number, or anything that is counted
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
