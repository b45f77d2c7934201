// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What the DAO's contracts need of its registry
interface IRegistry {
    /// @notice The account that runs the turns.
    function operator() external view returns (address);
}
