// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What the treasury, the bonds and the DAO's token need of the rewards contract
interface IRewards {
    /// @notice Take `amount` from the caller, the treasury, for the pool of `turn`.
    function fund(uint64 turn, uint256 amount) external;

    /// @notice The slash root of `turn` if it is final, else zero.
    function finalSlashRoot(uint64 turn) external view returns (bytes32);

    /// @notice The token root of `turn`, zero if that is not final; the newest final turn, and what all final turns issue
    /// together.
    function finalTokenRoot(uint64 turn) external view returns (bytes32 root, uint64 newest, uint256 issued);
}
