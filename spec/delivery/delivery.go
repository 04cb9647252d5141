// Package delivery is a Go rendering of the TLA+ specification of delivery: an executable model of
// tla/Partition.tla and tla/PartitionOnKafka.tla. It models the leaders of the partitions, and what
// becomes of the messages that a Producer admits.
//
// Tests check that the model and the graphs that TLC, the model checker, dumps have the same
// states and the same labelled edges. Names correspond: the TLA+ action
// Take, for example, is the constant Take and the function take in Go, and the edge label Take in
// the graphs. Programs that use package producer
// do not need this package.
//
// Files:
//   - bound.go: the constants; capacity.go, capacity_traces.go: how large a State may be; state.go, sequence.go: the value of every variable
//   - step.go: the actions with their parameters, Enabled and Next
//   - guards.go, pieces.go, actions.go, answers.go, producer.go: Partition.tla, one
//     function for each guard and action, under the same name and in the same order
//   - leader.go: PartitionOnKafka.tla, in the same way
//   - diff.go: the differences between two states, and the step that explains them
//   - graph.go: all states and steps within a bound; pins.go: the sizes that TLC found
//   - table.go: the states of a partition's core, and the events that each state allows;
//     table_gen.go: that table and the recorded numbers, generated
package delivery
