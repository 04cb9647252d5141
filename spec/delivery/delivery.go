// Package delivery is the specification of delivery in Go: an executable model of
// tla/Partition.tla and tla/PartitionOnKafka.tla. It models what becomes of the messages that a
// Producer admits, and the leaders of their partitions.
//
// Tests check that the model and the graphs that TLC, the model checker, dumps have the same
// states and the same labelled edges. The names are those of the TLA+: the action Take is the
// constant Take, the function take and the edge label Take. Programs that use package producer
// do not need this package.
//
// Files:
//   - bound.go: the constants; capacity.go, capacity_traces.go: how large a State may be; state.go, sequence.go: the value of every variable
//   - step.go: the actions with their parameters, Enabled and Next
//   - guards.go, pieces.go, actions.go, answers.go, producer.go: Partition.tla, one
//     function for each guard and action, under its name, in its order
//   - leader.go: PartitionOnKafka.tla, in the same way
//   - diff.go: the differences between two states, and the step that explains them
//   - graph.go: all states and steps within a bound; pins.go: the sizes that TLC found
//   - table.go: the states of a partition's core, and the events that each state allows;
//     table_gen.go: that table and the recorded numbers, generated
package delivery
