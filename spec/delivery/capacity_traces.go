//go:build traces

package delivery

// The capacity of a State that follows a trace of a producer, see capacity.go. Such a
// model has too many states for Graph: only Next is of use.
const (
	maxPartitions = 2
	maxMessages   = 64
	maxIDs        = 4
	maxLog        = 64
	maxLate       = 16
	maxNumber     = 1000
)

// Capacity is how many messages a State has room for, and CapacityIDs how many producer ids.
const (
	Capacity    = maxMessages
	CapacityIDs = maxIDs
)

// Number is an epoch, or a sequence number.
type Number = int16

// Set is a set of messages of one partition.
type Set uint64
