// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @title What sellers need of the split
interface ISplit {
    /// @notice Take `amount` of `token` from the caller and credit it by the shares of `key`.
    function pay(bytes32 key, IERC20 token, uint256 amount) external;

    /// @notice Take `amount` of `token` from the caller and credit it to `account` alone, who could not be sent it.
    function credit(address account, IERC20 token, uint256 amount) external;

    /// @notice Whether new business may be done in `token`.
    function isOpen(IERC20 token) external view returns (bool);
}
