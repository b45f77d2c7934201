// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What a contract that weighs signatures needs of the stakes
interface IStake {
    /// @notice What a node can do.
    enum Role {
        None,
        Evaluator,
        Keeper,
        Trainer,
        Gateway
    }

    /// @notice What an account has at stake in a role, without what it is taking out.
    function stakeOf(Role role, address account) external view returns (uint256);

    /// @notice The sum of `stakeOf` over all accounts.
    function totalStake(Role role) external view returns (uint256);
}
