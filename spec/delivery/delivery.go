// Package delivery is what tla/Partition.tla and tla/PartitionOnKafka.tla say, as
// Go: the executable model of the second machine, which is what becomes of the
// messages that a Producer admits, and of the leaders of their partitions.
//
// The model is held equal to the state graphs that TLC dumps: the same states, the
// same labelled edges, both ways. It has TLA+'s names: an action Take is the
// constant Take, the function take and the label of the edge.
//
// Files:
//   - bound.go: the constants; capacity.go: how large a State may be; state.go, sequence.go: the value of every variable
//   - step.go: the actions with their parameters, Enabled and Next
//   - guards.go, pieces.go, actions.go, answers.go, producer.go: Partition.tla, one
//     function for each guard and action, under its name, in its order
//   - leader.go: the same of PartitionOnKafka.tla
//   - diff.go: in what two states differ, and which step they show
//   - graph.go: all states and steps within a bound; pins.go: how large TLC found them
//   - table.go: where a partition's core is, and which events it can have there;
//     table_gen.go: that table and the pinned counts, generated
package delivery
