// Package role decides which nodes of a cluster take writes, from what each of
// them last said of itself.
//
// It owns the roles, the claims and the judgement of them; it asks nobody, keeps
// nothing and knows no clock. Who asks, and what is done about the answers, is in
// package cluster. Open judge.go first.
package role
