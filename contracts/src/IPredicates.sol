// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What the escrow asks of the predicates
/// @notice Each function returns if the evidence holds and refuses if it does not, with the reason.
interface IPredicates {
    /// @notice What accepts a job, beside its buyer.
    enum Kind {
        Result,
        Panel,
        Staked,
        Sampled,
        Gold
    }

    /// @notice Whether `digest` is signed by the buyer, or by the evaluators that a job of this kind and predicate asks
    /// for. Returns whether it was the buyer.
    function requireSigned(Kind kind, bytes32 predicate, address buyer, bytes32 digest, bytes calldata approval)
        external
        view
        returns (bool byBuyer);

    /// @notice Whether positions, four bytes each, can be asked for: ascending, below `units`, not too many.
    function requirePositions(bytes calldata positions, uint256 units) external pure;

    /// @notice Judge the evidence of a job of this kind and predicate. `committed`: the hash of what was said before,
    /// of the named positions (Sampled) or of the answers (Gold).
    /// @return right how much of it is right
    /// @return required how much must be
    function judge(Kind kind, bytes32 predicate, bytes32 committed, bytes calldata evidence)
        external
        pure
        returns (uint256 right, uint256 required);
}
